"""A number for two texts that are encoded each by itself: how alike they are."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.raw_labels import Missing
from mtl_lightning.tasks.base import full_precision
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.regression import Regression


class SimilarityRegression(Regression):
    """Regression of how alike two ``texts`` are, from a score of their features.

    The encoder reads each text by itself (a bi-encoder), so features of many texts can be computed once and compared
    fast. Where each pair is read anyway, :class:`Regression` with ``text`` and ``text_pair`` in one sequence (a
    cross-encoder) sees which words correspond, and is more accurate as a rule.

    Targets, loss, metrics and predictions are those of :class:`Regression`.

    Args:
        score: ``cosine`` of the two vectors u and v, or ``euclidean``, minus their distance; a scale and an offset are
            learned. ``difference``: a linear map of their absolute difference and their product, feature by feature.
            All are symmetric in the two texts.
        mean: Of the target; null: the training split's.
        std: Standard deviation of the target; null: the training split's.
        main_metric: The metric that stands for the task; ``loss`` is one.
        dropout: Before the score.
        missing: Words or numbers that mean "no label" in the data, one or a list.
        metrics: What to report; null: ``pearson``, ``spearman``, ``rmse`` and ``mae``. The main metric is always
            reported.
    """

    by_sequence = True
    required_inputs = ("texts",)
    usual_metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman", "rmse", "mae")
    beside_labels = Regression.beside_labels | {"score"}

    def __init__(
        self,
        score: Literal["cosine", "euclidean", "difference"] = "cosine",
        mean: float | None = None,
        std: float | None = None,
        main_metric: str = "pearson",
        dropout: float = 0.0,
        missing: Missing = None,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(mean, std, main_metric, dropout, missing, metrics)
        if score not in _SCORES:
            raise UserError(f"`score` is the unknown '{score}'; {did_you_mean(score, _SCORES)}")
        self.score = score

    def adapted(self) -> dict[str, Any]:
        adapted = super().adapted()
        return {"score": self.score, **adapted} if adapted else {}

    def inherited(self, state: Mapping[str, Tensor], adapted: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
        """As of a regression; nothing of another score, whose scale is not comparable."""
        if adapted["score"] != self.score:
            return {}, f"fresh, it was trained with the score '{adapted['score']}'"
        return super().inherited(state, adapted)

    def fit(self, target: float, example: Mapping[str, Any]) -> float:
        if (number := example["num_sequences"]) != 2:
            raise UserError(_TWO.format(number))
        return target

    def build(self, features: int) -> None:
        super().build(features)
        starts = {"cosine": (4.0, -2.0), "euclidean": (1.0, 0.0)}  # a cosine from 0 to 1: two deviations each way
        self.head = _Scaled(*starts[self.score]) if self.score in starts else _Linear(2 * features, 1)

    def can_read(self, features: Features) -> bool:
        """Whether each text was read by itself."""
        return super().can_read(features) and "texts" in (features.given or {})

    def forward(self, features: Features) -> Tensor:
        """Standardised numbers [B, 1]."""
        assert self.head is not None and features.given is not None and features.pooled is not None
        number = features.pooled.shape[1]
        looks = not (self.training or torch.compiler.is_exporting())
        if number != 2 or (looks and bool((features.given["sequences"] < 0).any())):
            raise UserError(_TWO.format("fewer" if number == 2 else number))
        first, second = full_precision(self.dropout(features.pooled)).unbind(1)
        numbers: Tensor = self.head(_SCORES[self.score](first, second))
        return numbers


class _Linear(nn.Linear):
    """A linear map that reads numbers of any precision: those that it gets are of full precision, whatever its own."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.to(self.weight.dtype))


class _Scaled(nn.Linear):
    """A number times a scale, plus an offset; of full precision under autocast too."""

    def __init__(self, scale: float, offset: float) -> None:
        super().__init__(1, 1)
        nn.init.constant_(self.weight, scale)
        nn.init.constant_(self.bias, offset)

    def forward(self, input: Tensor) -> Tensor:
        return input * self.weight[0] + self.bias


_TWO = "compares two texts, found {}; map two columns to the input `texts`, or lists of two texts"


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return cosine_similarity(first, second).unsqueeze(1)


def _minus_distance(first: Tensor, second: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm(first - second, dim=1, keepdim=True)
    return -distance


def _difference(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([(first - second).abs(), first * second], 1)


_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": _cosine,
    "euclidean": _minus_distance,
    "difference": _difference,
}
