"""Where examples come from, and what their columns mean."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from datasets import Dataset

from mtl_lightning.errors import UserError

SPLITS = ("train", "val", "test")


class DataSource(ABC):
    """One data set: tables of examples by split, mapped to the encoder's inputs and to tasks.

    Args:
        inputs: Column of each input of the encoder, say ``{text: sentence}``.
        labels: Column of each task that this data set labels, say ``{intent: intent, slots: tags}``. Labels may be
            missing in some rows.
    """

    def __init__(self, inputs: Mapping[str, str], labels: Mapping[str, str]) -> None:
        if not inputs:
            raise UserError("`inputs` is empty; map at least one input of the encoder to a column")
        self.inputs = dict(inputs)
        self.labels = dict(labels)

    @abstractmethod
    def load(self) -> dict[str, Dataset]:
        """Tables by split, some of ``train``, ``val`` and ``test``; raw columns, in the order of the source."""

    def describe(self, split: str, row: int) -> str:
        """Where a row came from, for messages about it."""
        return f"split '{split}', row {row + 1}"
