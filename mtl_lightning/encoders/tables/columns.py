"""What becomes of the columns of a table: a vector each."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl_lightning.inputs.column_statistics import CATEGORICAL, NUMERIC
from mtl_lightning.inputs.tables import TableInputs


class CategoryVectors(nn.ModuleList):
    """An embedding for each categorical column.

    Args:
        numbers: How many categories each has.
        widths: Of the embeddings.
        std: Of the numbers that they start from; null: (3 n)^-0.5 for n categories, as in DLRM (Naumov et al., 2019),
            so that rare categories start near zero, and not from noise that they have few examples to unlearn.
    """

    def __init__(self, numbers: Sequence[int], widths: Sequence[int], std: float | None = None) -> None:
        made = [nn.Embedding(number, width) for number, width in zip(numbers, widths, strict=True)]
        for embedding in made:
            nn.init.normal_(embedding.weight, std=std or (3 * embedding.num_embeddings) ** -0.5)
        super().__init__(made)

    def forward(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        """A vector a column, each [B, width]; none where there are no such columns.

        Args:
            inputs: What the processor collated.
        """
        columns = inputs[CATEGORICAL].unbind(1) if len(self) else ()
        return [embed(column) for embed, column in zip(self, columns, strict=True)]


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
        self.embeddings = CategoryVectors(inputs.num_categories, widths)
        self.num_numbers = len(found.means)
        self.width = sum(widths) + 2 * self.num_numbers

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """A vector an example [B, ``width``].

        Args:
            inputs: What the processor collated.
        """
        parts = self.embeddings(inputs)
        if self.num_numbers:
            missing = inputs[NUMERIC].isnan()
            parts += [inputs[NUMERIC].masked_fill(missing, 0.0), missing.to(inputs[NUMERIC].dtype)]
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
        missing = numbers.isnan()[..., None]
        tokens = self.offsets + numbers[..., None].masked_fill(missing, 0.0) * self.slopes
        return torch.where(missing, self.missing, tokens)


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
        self.embeddings = CategoryVectors(inputs.num_categories, [width] * len(inputs.num_categories), width**-0.5)
        self.numbers = NumberTokens(inputs, width) if inputs.statistics.means else None

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Tokens of each example [B, 1 + number of columns, D].

        Args:
            inputs: What the processor collated.
        """
        parts = [vector[:, None] for vector in self.embeddings(inputs)]
        if self.numbers is not None:
            parts.append(self.numbers(inputs[NUMERIC]))
        return torch.cat([self.first.expand(parts[0].shape[0], 1, -1), *parts], dim=1)
