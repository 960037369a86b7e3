"""A factorization machine over the columns of a table."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn

from mtl_lightning.encoders.base import Representation, State
from mtl_lightning.encoders.staged import Stage
from mtl_lightning.encoders.tables.base import TableEncoder
from mtl_lightning.encoders.tables.columns import CategoryVectors, NumberTokens
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import NUMERIC
from mtl_lightning.inputs.tables import TableInputs


class TableFactorizationMachine(TableEncoder):
    r"""Sums of columns and of products of pairs of columns, in few dimensions, then linear layers.

    Column i of an example has two vectors, :math:`w_i` of ``wide`` numbers and :math:`v_i` of ``factors`` numbers:
    those of its category, or those of the column times its number. The layers read

    .. math:: \Bigl[\sum_i w_i, \; \sum_{i<j} v_i \odot v_j\Bigr].

    Its inputs are ``numeric`` and ``categorical`` columns; its representation is pooled [B, hidden[-1]]. The stages are
    the layers, with ReLU between them and none behind the last.

    Helps: where an outcome is near a sum over columns and a product of few traits, as those of users and items, and
    each category has few examples, which deeper networks learn by heart. Give it Adam with a ``weight_decay`` of
    0.0003 to 0.001, the ridge penalty of these models, and a learning rate of 0.01 or more that decays. Fails: where
    three columns together, or steps of a number, decide.

    References: Rendle, "Factorization Machines" (ICDM 2010), equation 1 and lemma 3.1; the products are not summed over
    their dimensions but read by layers, as in He and Chua, "Neural Factorization Machines for Sparse Predictive
    Analytics" (SIGIR 2017), equation 3. Difference: tasks share both kinds of vectors, and the layers weigh them for
    each; with one layer and one task it is a factorization machine.

    Args:
        factors: Numbers of a column's vector in products.
        wide: Numbers of a column's vector in sums.
        hidden: Widths of the layers behind, in order.
        dropout: Probability of zeroing what a layer reads.
        min_count: How often a category must occur in the training split; rarer ones are unknown.
        max_categories: How many a column may have, the most frequent; null: any number.
        hash_buckets: Above 0: unknown categories share so many embeddings, by their hash, instead of one.
        learnt: What was learnt of the training data, in a checkpoint; leave it null.
    """

    def __init__(
        self,
        factors: int = 4,
        wide: int = 8,
        hidden: Sequence[int] = (16,),
        dropout: float = 0.0,
        min_count: int = 1,
        max_categories: int | None = None,
        hash_buckets: int = 0,
        learnt: str | None = None,
    ) -> None:
        super().__init__(min_count, max_categories, hash_buckets, learnt)
        if factors < 1 or wide < 1 or not hidden:
            raise UserError("`factors` and `wide` must be at least 1, and `hidden` name a layer width")
        self._factors, self._wide = factors, wide
        self._widths = [wide + factors, *hidden]
        self.features = hidden[-1]
        self.layers = nn.ModuleList(nn.Linear(*widths) for widths in pairwise(self._widths))
        self.dropout = nn.Dropout(dropout)
        if learnt is not None:
            self.complete()

    def columns_of(self, inputs: TableInputs) -> nn.Module:
        return _SumsAndProducts(inputs, self._wide, self._factors)

    def begin(self, inputs: dict[str, Tensor]) -> State:
        return State(self.read(inputs))

    @cached_property
    def stages(self) -> list[nn.Module]:
        """One a layer."""
        first, *others = self.layers
        return [Stage(self.dropout, first), *(Stage(nn.ReLU(), self.dropout, layer) for layer in others)]

    @property
    def widths(self) -> list[int]:
        return self._widths

    def end(self, state: State) -> Representation:
        return Representation(pooled=state.hidden)


class _SumsAndProducts(nn.Module):
    def __init__(self, inputs: TableInputs, wide: int, factors: int) -> None:
        super().__init__()
        self.wide, self.factors = _Vectors(inputs, wide, std=0.01), _Vectors(inputs, factors, std=0.1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """What is made of an example's columns [B, wide + factors]."""
        factors = self.factors(inputs)
        products = (factors.sum(1).square() - factors.square().sum(1)) / 2
        return torch.cat([self.wide(inputs).sum(1), products], dim=1)


class _Vectors(nn.Module):
    """A vector a column, of numbers that start small."""

    def __init__(self, inputs: TableInputs, width: int, std: float) -> None:
        super().__init__()
        self.categories = CategoryVectors(inputs.num_categories, [width] * len(inputs.num_categories), std)
        self.numbers = NumberTokens(inputs, width) if inputs.statistics.means else None
        for parameter in () if self.numbers is None else self.numbers.parameters():
            nn.init.normal_(parameter, std=std)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Vectors [B, C, D] of the columns."""
        parts = [vector[:, None] for vector in self.categories(inputs)]
        if self.numbers is not None:
            parts.append(self.numbers(inputs[NUMERIC]))
        return torch.cat(parts, dim=1)
