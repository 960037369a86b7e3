"""What a processor of texts reads: kinds of inputs, each with its own way to become tokens."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.beginnings import Beginnings
from mtl_lightning.inputs.running_text import RunningText
from mtl_lightning.inputs.tokenizers import FastTokenizer


class InputKind(ABC):
    """Inputs that are read together. What they are encoded to is collated alike for all kinds.

    Attributes:
        marks: Names of inputs of which any says that an example is of this kind.
        signature: What ``encode`` depends on beside what all kinds do; empty: nothing.
    """

    marks: frozenset[str]
    signature: Sequence[Any] = ()

    @abstractmethod
    def check(self, inputs: Collection[str]) -> None:
        """Raises :class:`UserError` if these inputs cannot be read together.

        Args:
            inputs: Names, among them one of ``marks``.
        """

    @abstractmethod
    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """See :class:`.TextProcessor`; checks the inputs first."""

    def cut_off(self, values: Mapping[str, Any]) -> str:
        """What of one example is beyond the encoder's limit; empty by default, as where nothing can be.

        Args:
            values: By input name.
        """
        return ""


class Tokenised(InputKind):
    """A kind of which a tokenizer reads no more than is kept.

    Args:
        tokenizer: A fast tokenizer of transformers.
        max_length: Longest sequence in tokens.
        running: See :class:`.TextProcessor`.
        beginnings: Of long texts, by the same tokenizer.
    """

    def __init__(
        self, tokenizer: FastTokenizer, max_length: int, running: RunningText | None, beginnings: Beginnings
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.running = running
        self._beginnings = beginnings


def kind_of(inputs: Collection[str], kinds: Sequence[InputKind]) -> InputKind:
    """The first kind that one of these inputs marks; the last one, where none does."""
    return next((kind for kind in kinds if not kind.marks.isdisjoint(inputs)), kinds[-1])


def refuse_unless(together: Sequence[Collection[str]], inputs: Collection[str]) -> None:
    """Raises :class:`UserError` that says how inputs go together, unless these are one of some sets."""
    if set(inputs) not in together:
        words, texts = "`tokens` with or without `spans`", "`text` with or without `text_pair`"
        ways = f"{words}, {texts}, `choices` with or without `text`, `texts`, or `context` with `text`"
        raise UserError(f"give {ways}; found {', '.join(inputs)}")
