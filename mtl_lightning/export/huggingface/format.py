"""A folder that transformers loads, with a model card."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

from transformers.utils import logging

from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.export.format import Format
from mtl_lightning.export.half import PRECISIONS, round_parameters, tolerance_of
from mtl_lightning.export.huggingface.card import Card
from mtl_lightning.export.huggingface.checking import check_equal
from mtl_lightning.export.huggingface.comparison import read_comparison
from mtl_lightning.export.huggingface.facts import facts_of
from mtl_lightning.export.huggingface.heads import Head, head_of
from mtl_lightning.export.huggingface.inputs import check_inputs, inputs_of
from mtl_lightning.export.huggingface.modeling_multi_task import MultiTaskPreTrainedModel
from mtl_lightning.export.huggingface.models import model_of, write_code
from mtl_lightning.export.huggingface.publishing import check_name, publish
from mtl_lightning.terminal import say
from mtl_lightning.training.module import MultiTaskModule


class HuggingFaceFormat(Format):
    """Weights in safetensors, tokenizer, configuration with label names, and a model card.

    A single task is a model for a pipeline: one of transformers' own classes where one computes the same, as for tags
    of words with BERT. Where none does, and for several tasks, a small file that defines the model lies in the folder.
    """

    about = "a model that transformers loads without this package, with a model card"
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "license": {},
        "comparison": {},
        "contestant": {},
        "push_to_hub": {},
        "private": {"action": "store_true", "default": False},
    }
    help = """
options of --format huggingface:
  --license NAME                    the model's licence, such as apache-2.0, for its card (default: unknown)
  --comparison FOLDER               of `compare`: its means and intervals join the card
  --contestant NAME                 which contestant of the comparison this model is of
  --push_to_hub NAME                publish the folder on the Hugging Face hub as USER/MODEL
  --private                         as a private repository
"""

    def export(self, model: MultiTaskModule, folder: Path, given: Namespace) -> int:
        """Writes the files."""
        if given.push_to_hub is not None:
            check_name(given.push_to_hub)
        compared = None if given.comparison is None else read_comparison(given.comparison, given.contestant)
        if not isinstance(model.encoder, TransformerEncoder):
            raise UserError(f"--format huggingface: {type(model.encoder).__name__} is no model of transformers")
        names = given.tasks or list(model.tasks)
        heads = {name: head_of(name, model.tasks[name]) for name in names}
        check_inputs(model.config, {name: head.level for name, head in heads.items()})
        _check_words(heads, model.encoder)
        _check_pairs(model, names)
        plain: Any = model.merge(*names).eval()
        written = model_of(plain.encoder, heads)
        check_equal(plain, written)
        if given.half is not None:
            round_parameters(written, given.half)
            written.to(PRECISIONS[given.half])
            check_equal(plain, written, tolerance_of(given.half))
        tokenizer = deepcopy(plain.encoder.processor.tokenizer)
        tokenizer.model_max_length = plain.encoder.processor.max_length
        with _quiet():
            written.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        write_code(written, folder)
        name = (given.push_to_hub or Path(given.output).absolute().name).rpartition("/")[2]
        where = given.push_to_hub or Path(given.output).absolute().name
        facts = facts_of(plain, model, given.checkpoint)
        needs_code = isinstance(written, MultiTaskPreTrainedModel)
        card = Card(name, where, plain.encoder, heads, facts, needs_code, given.license, compared)
        (folder / "README.md").write_text(str(card.made()), "utf-8")
        return 0

    def written(self, given: Namespace) -> int:
        """Publishes the folder, if asked to."""
        if given.push_to_hub is not None:
            say(f"Published at {publish(Path(given.output), given.push_to_hub, given.private)}")
        return 0


def _check_words(heads: dict[str, Head], encoder: TransformerEncoder) -> None:
    """Raises :class:`UserError` of a single task whose words are read where no pipeline reads them."""
    for name, head in heads.items():
        if len(heads) == 1 and head.pipeline == "token-classification" and encoder.processor.sub_word != "first":
            raise UserError(
                f"task '{name}' is read at the last sub-word of a word, and transformers' pipeline takes the first; "
                "choose another format"
            )


def _check_pairs(model: MultiTaskModule, names: Sequence[str]) -> None:
    """Raises :class:`UserError` of a task that reads pairs where something is put between the two texts."""
    encoder: Any = model.encoder
    running = encoder.processor.plain.running
    for name in names:
        if running is not None and running.breaks and "text_pair" in inputs_of(model.config, name):
            raise UserError(
                f"task '{name}' reads pairs of texts with a line break between them, which no tokenizer puts there; "
                "choose another format"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars of transformers."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
