"""A transformer over the columns of a table."""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor, nn

from mtl_lightning.encoders.base import Representation, State
from mtl_lightning.encoders.staged import Stage
from mtl_lightning.encoders.tables.base import TableEncoder
from mtl_lightning.encoders.tables.columns import ColumnTokens
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.tables import TableInputs


class TableTransformer(TableEncoder):
    """A token a column, and layers of attention among them: FT-Transformer.

    Its inputs are ``numeric`` and ``categorical`` columns; its representation is pooled [B, width]: the token that
    belongs to no column, normalised. The stages are the layers.

    Reference: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data" (NeurIPS 2021), section 3.3. Its
    layers are those of torch, with the normalisation first.

    Args:
        width: D, of each token.
        num_layers: Number of layers.
        num_heads: Of attention; they divide the width.
        dropout: Probability of zeroing an activation.
        min_count: How often a category must occur in the training split; rarer ones are unknown.
        max_categories: How many a column may have, the most frequent; null: any number.
        hash_buckets: Above 0: unknown categories share so many embeddings, by their hash, instead of one.
        learnt: What was learnt of the training data, in a checkpoint; leave it null.
    """

    def __init__(
        self,
        width: int = 32,
        num_layers: int = 2,
        num_heads: int = 4,
        dropout: float = 0.0,
        min_count: int = 1,
        max_categories: int | None = None,
        hash_buckets: int = 0,
        learnt: str | None = None,
    ) -> None:
        super().__init__(min_count, max_categories, hash_buckets, learnt)
        if num_layers < 1 or num_heads < 1 or width % num_heads:
            raise UserError(f"`num_heads` must divide `width` {width}, and `num_layers` be at least 1")
        self.features = width
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, num_heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        if learnt is not None:
            self.complete()

    def columns_of(self, inputs: TableInputs) -> nn.Module:
        return ColumnTokens(inputs, self.features)

    def begin(self, inputs: dict[str, Tensor]) -> State:
        return State(self.read(inputs))

    @cached_property
    def stages(self) -> Sequence[nn.Module]:
        """One a layer; the last one normalises what it made."""
        *first, last = self.layers
        return [*(Stage(layer) for layer in first), Stage(last, self.norm)]

    @property
    def widths(self) -> list[int]:
        return [self.features] * (len(self.layers) + 1)

    def pool(self, state: State) -> Tensor:
        return state.hidden[:, 0]

    def end(self, state: State) -> Representation:
        return Representation(pooled=state.hidden[:, 0])
