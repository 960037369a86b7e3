"""Models of transformers that compute what a multi-task model does, and need nothing of this package."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, PreTrainedModel

from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.export.huggingface import configuration_multi_task, modeling_multi_task
from mtl_lightning.export.huggingface.configuration_multi_task import MultiTaskConfig
from mtl_lightning.export.huggingface.heads import Head, write_into
from mtl_lightning.export.huggingface.modeling_multi_task import (
    MultiTaskModel,
    MultiTaskModelForSequenceClassification,
    MultiTaskModelForTokenClassification,
    MultiTaskPreTrainedModel,
)

_ALONE = {
    "text-classification": ("AutoModelForSequenceClassification", MultiTaskModelForSequenceClassification),
    "token-classification": ("AutoModelForTokenClassification", MultiTaskModelForTokenClassification),
}
"""Of a pipeline: the class that it loads a model by, and ours."""


def model_of(encoder: TransformerEncoder, heads: Mapping[str, Head]) -> PreTrainedModel:
    """A model with the weights of an encoder and heads.

    Args:
        encoder: Without an adapter.
        heads: By task. A single one that a pipeline can read is a model for that pipeline.

    Returns:
        A class of transformers where one computes the same; otherwise one of ``modeling_multi_task``, whose files
        belong beside the weights (see :func:`write_code`).
    """
    ((name, head),) = heads.items() if len(heads) == 1 else [("", None)]
    if head is not None and head.pipeline == "token-classification" and (known := _known(encoder, head)) is not None:
        return known
    auto, kind = _ALONE[head.pipeline] if head is not None and head.pipeline else ("AutoModel", MultiTaskModel)
    config = MultiTaskConfig(
        encoder=_config_of(encoder),
        tasks={name: head.settings() for name, head in heads.items()},
        pooling=encoder.pooling,
        sub_word=encoder.processor.sub_word,
        **({} if head is None else _labels(head)),
    )
    made = kind(config).to(encoder.backbone.dtype)
    made.encoder.load_state_dict(encoder.backbone.state_dict())
    for name, head in heads.items():
        write_into(made.heads[name], head)
    config.auto_map = {"AutoConfig": _place(MultiTaskConfig), auto: _place(kind)}
    return made.eval()


def write_code(model: PreTrainedModel, folder: Path) -> None:
    """Writes the files that define a model's class, unless transformers has it."""
    if isinstance(model, MultiTaskPreTrainedModel):
        for module in (configuration_multi_task, modeling_multi_task):
            assert module.__file__ is not None
            source = Path(module.__file__)
            (folder / source.name).write_text(source.read_text("utf-8"), "utf-8")


def _known(encoder: TransformerEncoder, head: Head) -> PreTrainedModel | None:
    """A model for token classification as transformers has it; null: of this encoder's type there is none, or it does
    more than to map hidden states linearly.
    """
    config = _config_of(encoder)
    config.update(_labels(head))
    kind: Any = MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING.get(type(config), None)
    if kind is None:
        return None
    made: Any = kind(config).to(encoder.backbone.dtype).eval()
    own = [module for name, module in made.named_modules() if _is_own(made, name, module)]
    linear = [module for module in own if isinstance(module, nn.Linear)]
    state = encoder.backbone.state_dict()
    if len(linear) != 1 or linear[0].bias is None or made.base_model.state_dict().keys() != state.keys():
        return None
    made.base_model.load_state_dict(state)
    write_into(linear[0], head)
    return made if _maps_linearly(made, encoder, linear[0]) else None


def _config_of(encoder: TransformerEncoder) -> Any:
    """A copy of an encoder's configuration, which does not say from which folder it came."""
    config = deepcopy(encoder.backbone.config)
    config._name_or_path = ""
    return config


def _is_own(model: Any, name: str, module: nn.Module) -> bool:
    """Whether a module has parameters and is not the base model's."""
    return not name.startswith(model.base_model_prefix) and any(True for _ in module.parameters(recurse=False))


@torch.no_grad()
def _maps_linearly(model: Any, encoder: TransformerEncoder, linear: nn.Linear) -> bool:
    """Whether a model's logits are a linear map of the hidden states."""
    inputs = dict(encoder.processor.tokenizer("a b c", return_tensors="pt"))
    expected = linear(model.base_model(**inputs).last_hidden_state)
    return torch.allclose(model(**inputs).logits, expected, atol=1e-6)


def _labels(head: Head) -> dict[str, Any]:
    """What transformers keeps of labels in a configuration."""
    names = dict(enumerate(head.labels))
    numbers = {name: number for number, name in names.items()}
    return {"id2label": names, "label2id": numbers, "problem_type": head.problem}


def _place(kind: type) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
