"""What becomes of the columns of a table: a vector each."""

import torch
from torch import Tensor, nn

from mtl_lightning.inputs.column_statistics import CATEGORICAL, NUMERIC
from mtl_lightning.inputs.tables import TableInputs


def marked(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers with 0 where one is missing, and 1 there, both [B, C].

    Args:
        numbers: Standardised, NaN where one is missing [B, C].
    """
    missing = numbers.isnan()
    return numbers.masked_fill(missing, 0.0), missing.to(numbers.dtype)


class ColumnVectors(nn.Module):
    """Embeddings of categories beside standard numbers, one after the other.

    Args:
        inputs: What knows the columns.
        embedding: Width of each embedding; null: min(64, 1.6 · n^0.56) for n categories, the rule of fastai.

    Attributes:
        width: Of what they make together.
    """

    def __init__(self, inputs: TableInputs, embedding: int | None) -> None:
        super().__init__()
        found = inputs.statistics
        widths = [embedding or min(64, round(1.6 * number**0.56)) for number in inputs.num_categories]
        self.embeddings = nn.ModuleList(
            _embedding(number, width) for number, width in zip(inputs.num_categories, widths, strict=True)
        )
        self.num_numbers = len(found.means)
        self.width = sum(widths) + 2 * self.num_numbers

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """A vector an example [B, ``width``].

        Args:
            inputs: What the processor collated.
        """
        parts = []
        if self.embeddings:
            numbers = inputs[CATEGORICAL].unbind(1)
            parts += [embed(column) for embed, column in zip(self.embeddings, numbers, strict=True)]
        if self.num_numbers:
            parts += marked(inputs[NUMERIC])
        return torch.cat(parts, dim=1)


class NumberTokens(nn.Module):
    """A vector a number: x of column j becomes :math:`b_j + x w_j`, one that is missing a vector of its own.

    Args:
        inputs: What knows the columns.
        width: D.
    """

    def __init__(self, inputs: TableInputs, width: int) -> None:
        super().__init__()
        number = len(inputs.statistics.means)
        self.slopes, self.offsets, self.missing = (
            nn.Parameter(torch.randn(number, width) * width**-0.5) for _ in range(3)
        )

    def forward(self, numbers: Tensor) -> Tensor:
        """Tokens [B, C, D] of standardised numbers, NaN where one is missing [B, C]."""
        standard, missing = marked(numbers)
        tokens = self.offsets + standard[..., None] * self.slopes
        return torch.where(torch.ne(missing, 0)[..., None], self.missing, tokens)


class ColumnTokens(nn.Module):
    """A vector a column, and one that belongs to none before them.

    Reference: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data" (NeurIPS 2021), section 3.3.

    Args:
        inputs: What knows the columns.
        width: D.
    """

    def __init__(self, inputs: TableInputs, width: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(width) * width**-0.5)
        self.embeddings = nn.ModuleList(_embedding(number, width) for number in inputs.num_categories)
        self.numbers = NumberTokens(inputs, width) if inputs.statistics.means else None

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Tokens of each example [B, 1 + number of columns, D].

        Args:
            inputs: What the processor collated.
        """
        parts = []
        if self.embeddings:
            numbers = inputs[CATEGORICAL].unbind(1)
            parts += [embed(column)[:, None] for embed, column in zip(self.embeddings, numbers, strict=True)]
        if self.numbers is not None:
            parts.append(self.numbers(inputs[NUMERIC]))
        return torch.cat([self.first.expand(len(parts[0]), 1, -1), *parts], dim=1)


def _embedding(number: int, width: int) -> nn.Embedding:
    made = nn.Embedding(number, width)
    nn.init.normal_(made.weight, std=width**-0.5)
    return made
