"""A network of crosses over the columns of a table."""

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


class Cross(nn.Module):
    r"""A layer of crosses: :math:`x_{l+1} = x_0 \odot (W x_l + b) + x_l`.

    Args:
        width: Of x.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, state: State) -> State:
        return state._replace(hidden=state.context * self.linear(state.hidden) + state.hidden)


class TableCrossNetwork(TableEncoder):
    r"""Layers that multiply features with each other, then linear layers with ReLU: DCN-V2, stacked.

    Its inputs are ``numeric`` and ``categorical`` columns; its representation is pooled [B, hidden[-1]]. The stages are
    the crosses and the layers behind them.

    Reference: Wang et al., "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank
    Systems" (WWW 2021), equation 1 and figure 1a. Difference: embeddings and numbers are brought to ``width`` by a
    linear map first, so that the width does not depend on the data.

    Args:
        width: Of what is crossed.
        crosses: Number of layers of crosses: n of them make products of up to n + 1 features.
        hidden: Widths of the linear layers behind them.
        embedding: Width of the embedding of a category; null: that of a column with n of them is min(64, 1.6 · n^0.56).
        dropout: Probability of zeroing an activation, after each linear layer.
        min_count: How often a category must occur in the training split; rarer ones are unknown.
        max_categories: How many a column may have, the most frequent; null: any number.
        hash_buckets: Above 0: unknown categories share so many embeddings, by their hash, instead of one.
        learnt: What was learnt of the training data, in a checkpoint; leave it null.
    """

    def __init__(
        self,
        width: int = 64,
        crosses: int = 2,
        hidden: Sequence[int] = (64,),
        embedding: int | None = None,
        dropout: float = 0.0,
        min_count: int = 1,
        max_categories: int | None = None,
        hash_buckets: int = 0,
        learnt: str | None = None,
    ) -> None:
        super().__init__(min_count, max_categories, hash_buckets, learnt)
        if crosses < 1 or not hidden:
            raise UserError("`crosses` must be at least 1, and `hidden` name a layer width")
        self.features = hidden[-1]
        self.width, self._embedding = width, embedding
        self.crosses = nn.ModuleList(Cross(width) for _ in range(crosses))
        self.layers = nn.ModuleList(nn.Linear(*widths) for widths in pairwise([width, *hidden]))
        self.dropout = nn.Dropout(dropout)
        if learnt is not None:
            self.complete()

    def columns_of(self, inputs: TableInputs) -> nn.Module:
        read = ColumnVectors(inputs, self._embedding)
        return nn.Sequential(read, nn.Linear(read.width, self.width))

    def begin(self, inputs: dict[str, Tensor]) -> State:
        start = self.read(inputs)
        return State(start, start)

    @cached_property
    def stages(self) -> list[nn.Module]:
        """The crosses, then one a linear layer."""
        return [*self.crosses, *(Stage(layer, nn.ReLU(), self.dropout) for layer in self.layers)]

    @property
    def widths(self) -> list[int]:
        behind = [layer.out_features for layer in self.layers if isinstance(layer, nn.Linear)]
        return [self.width] * (len(self.crosses) + 1) + behind

    def end(self, state: State) -> Representation:
        return Representation(pooled=state.hidden)
