"""A multilayer perceptron over the columns of a table."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from torch import Tensor, nn

from mtl_lightning.encoders.base import Representation, State
from mtl_lightning.encoders.staged import Stage
from mtl_lightning.encoders.tables.base import TableEncoder
from mtl_lightning.encoders.tables.columns import ColumnVectors
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.tables import TableInputs


class TablePerceptron(TableEncoder):
    """Embeddings of categories and standard numbers, then linear layers with ReLU.

    Its inputs are ``numeric`` and ``categorical`` columns; its representation is pooled [B, hidden[-1]]. The first
    layer belongs to what reads the columns, and the stages are those behind it.

    Args:
        hidden: Widths of the layers, in order, two at least.
        embedding: Width of the embedding of a category; null: that of a column with n of them is min(64, 1.6 · n^0.56).
        dropout: Probability of zeroing an activation, after each layer.
        min_count: How often a category must occur in the training split; rarer ones are unknown.
        max_categories: How many a column may have, the most frequent; null: any number.
        hash_buckets: Above 0: unknown categories share so many embeddings, by their hash, instead of one.
        learnt: What was learnt of the training data, in a checkpoint; leave it null.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        embedding: int | None = None,
        dropout: float = 0.0,
        min_count: int = 1,
        max_categories: int | None = None,
        hash_buckets: int = 0,
        learnt: str | None = None,
    ) -> None:
        super().__init__(min_count, max_categories, hash_buckets, learnt)
        if len(hidden) < 2:
            raise UserError("`hidden` must name at least two layer widths")
        self.hidden = list(hidden)
        self.features = hidden[-1]
        self._embedding, self._dropout = embedding, dropout
        self.layers = nn.ModuleList(nn.Linear(*widths) for widths in pairwise(hidden))
        self.dropout = nn.Dropout(dropout)
        if learnt is not None:
            self.complete()

    def columns_of(self, inputs: TableInputs) -> nn.Module:
        read = ColumnVectors(inputs, self._embedding)
        return nn.Sequential(read, nn.Linear(read.width, self.hidden[0]), nn.ReLU(), nn.Dropout(self._dropout))

    def begin(self, inputs: dict[str, Tensor]) -> State:
        return State(self.read(inputs))

    @cached_property
    def stages(self) -> list[nn.Module]:
        """One a layer behind the first."""
        return [Stage(layer, nn.ReLU(), self.dropout) for layer in self.layers]

    @property
    def widths(self) -> list[int]:
        return self.hidden

    def end(self, state: State) -> Representation:
        return Representation(pooled=state.hidden)
