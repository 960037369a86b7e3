"""Compares a model that is written with the one that it was made of."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.export.samples import LONGEST, tensors_of
from mtl_lightning.tasks import Regression, Task
from mtl_lightning.training.module import MultiTaskModule

_CLOSE = 1e-5


@torch.no_grad()
def check_equal(model: MultiTaskModule, written: PreTrainedModel, close: float = _CLOSE) -> None:
    """Compares all outputs on texts of one word, of a few, and of as many as the model reads.

    Args:
        model: In evaluation mode.
        written: The model of transformers with the same tasks.
        close: How far they may differ.

    Raises:
        UserError: If they differ by more than that part of the largest output, or of 1.
    """
    assert isinstance(model.encoder, TransformerEncoder)
    processor = model.encoder.processor
    longest = ["so", "it", "goes"] * (min(processor.max_length, LONGEST) // 3 + 1)
    for texts in ([["so"]], [["so"], longest[:5], longest]):
        inputs = tensors_of(model, {"tokens": texts})
        names = set(processor.tokenizer.model_input_names) & inputs.keys()
        found: Any = written(**{name: inputs[name] for name in names})
        by_task = found if not hasattr(found, "logits") else dict.fromkeys(model.tasks, found.logits)
        for name, expected in model(inputs).items():
            task = model.tasks[name]
            ours, theirs = _in_its_unit(task, expected), by_task[name]
            if task.level == "tokens":
                theirs = _at_words(theirs, inputs["word_starts"])
                ours = ours[inputs["word_starts"] >= 0]
            difference = float((ours - theirs).abs().max())
            if not difference <= close * max(1.0, float(ours.abs().max())):
                raise UserError(
                    f"task '{name}': {type(written).__name__} differs from the checkpoint by {difference:.1g}; "
                    "choose another format"
                )


def _in_its_unit(task: Task, logits: Tensor) -> Tensor:
    if not isinstance(task, Regression):
        return logits
    assert task.mean is not None and task.std is not None, "it is built"
    return (logits.double() * task.std + task.mean).float()


def _at_words(logits: Tensor, starts: Tensor) -> Tensor:
    """Logits of words [N, C] among those of sub-words [B, L, C]."""
    index = starts.clamp(min=0).unsqueeze(-1).expand(-1, -1, logits.shape[-1])
    return logits.gather(1, index)[starts >= 0]
