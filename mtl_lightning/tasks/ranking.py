"""An order of several texts for each example: the candidates of a query, by relevance."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from mtl_lightning.decoding import Decoder, RankingDecoder
from mtl_lightning.errors import UserError, did_you_mean, shown
from mtl_lightning.raw_labels import Missing, no_label
from mtl_lightning.tasks.base import full_precision
from mtl_lightning.tasks.in_words import in_numbers
from mtl_lightning.tasks.ranking_losses import RANKING_LOSSES
from mtl_lightning.tasks.ranking_metrics import ranking_metrics
from mtl_lightning.tasks.scored_sequences import ScoredSequences
from mtl_lightning.tasks.scoring import choose
from mtl_lightning.tasks.targets import LARGEST, to_number


class Ranking(ScoredSequences):
    """Orders an example's ``choices``, the candidates of a query in ``text``, by relevance.

    The encoder reads each candidate, behind the query, and the head scores it; so there may be any number, and as many
    as a query has. A label is a list of relevances, one a candidate, at least 0 (irrelevant); some may be missing.
    Queries whose candidates are all equally relevant say nothing about an order: they count neither in the loss nor in
    the metrics.

    Metrics, means over queries: ``ndcg``, whose gain is the relevance; ``mrr``, of the first candidate of a relevance
    above 0. Both also of the first places alone, say ``ndcg_at_10``, and so ``hit_rate_at_1``: whether a relevant
    candidate is among them.

    A prediction has the ``ranking``: numbers of the candidates, from 0, the best first; and their ``texts`` and
    ``scores`` in this order. Scores compare candidates of one query, not of several.

    Args:
        objective: ``softmax``: cross entropy to the relevances divided by their sum; ``listnet``: to their softmax;
            ``ranknet``: logistic loss of pairs, of which one is more relevant.
        main_metric: The metric that stands for the task; ``loss`` is one.
        dropout: Before the head.
        missing: Words or numbers that mean "no label" in the data, one or a list, say ``-1``.
        metrics: What to report; null: ``ndcg`` and ``mrr``. The main metric is always reported.
    """

    missing = math.nan
    irregular = "queries have candidates that are all equally relevant; these do not count"
    beside_labels = ScoredSequences.beside_labels | {"objective"}

    def __init__(
        self,
        objective: Literal["softmax", "listnet", "ranknet"] = "softmax",
        main_metric: str = "ndcg",
        dropout: float = 0.1,
        missing: Missing = None,
        metrics: list[str] | None = None,
    ) -> None:
        super().__init__(main_metric, dropout, missing)
        if objective not in RANKING_LOSSES:
            raise UserError(f"`objective` is the unknown '{objective}'; {did_you_mean(objective, RANKING_LOSSES)}")
        self.objective = objective
        self._metric_names = metrics

    # -- labels ------------------------------------------------------------------------------------------------------
    def adapted(self) -> dict[str, Any]:
        return {"missing": sorted(self.missing_words)}

    def encode(self, value: Any) -> list[float]:
        """A relevance for each candidate, NaN where it is missing; an empty list where all are."""
        if self.is_missing(value):
            return []
        if not isinstance(value, list | tuple):
            raise UserError(f"expected a list of relevances, one a candidate, found {shown(value)}")
        return [self._relevance(place, each) for place, each in enumerate(value)]

    def _relevance(self, place: int, value: Any) -> float:
        if self.is_missing(value):
            return math.nan
        number = to_number(value)
        if number is None or not 0 <= number <= LARGEST:
            raise UserError(
                f"relevance {place + 1}: expected a number, 0 (irrelevant) or above, found {shown(value)}"
                f"{no_label([str(value)])}"
            )
        return number

    def fit(self, target: list[float], example: Mapping[str, Any]) -> list[float]:
        number = example["num_sequences"]
        while len(target) > number and target[-1] != target[-1]:  # of columns of which the last are empty
            target = target[:-1]
        if target and len(target) != number:
            raise UserError(
                f"{len(target)} relevances for {number} candidates; give one each, null where it is missing"
            )
        return target or [math.nan] * number

    def count(self, target: Any) -> int:
        """1, or 0 of a query that says nothing."""
        return int(len({each for each in target if each == each}) > 1)

    def count_irregular(self, target: Any) -> int:
        return int(len({each for each in target if each == each}) == 1)

    def in_words(self, target: Tensor) -> str | None:
        """The relevances of all candidates; null of a query that says nothing."""
        return in_numbers(target, math.nan) if self.count(target.tolist()) else None

    # -- model and evaluation ----------------------------------------------------------------------------------------
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        known, says = ~targets.isnan(), _says_something(targets)
        losses = RANKING_LOSSES[self.objective](full_precision(logits), full_precision(targets), known)
        return losses.masked_fill(~says, 0).sum() / says.sum().clamp(min=1)

    def metrics(self) -> MetricCollection:
        names = self._metric_names
        catalogue = ranking_metrics([*(names or ()), self.main_metric])
        return MetricCollection(dict(choose(catalogue, ["ndcg", "mrr"], names, self.main_metric)), compute_groups=False)

    def update(self, metrics: MetricCollection, logits: Tensor, targets: Tensor) -> None:
        says = _says_something(targets)
        scores, relevances = full_precision(logits[says]), full_precision(targets[says])
        metrics.update(scores.masked_fill(relevances.isnan(), torch.nan), relevances)

    def decoder(self) -> Decoder:
        return RankingDecoder()


def _says_something(targets: Tensor) -> Tensor:
    """Whether some relevances [B, N], of those that are there, differ; bool [B]."""
    return targets.nan_to_num(nan=-torch.inf).amax(1) > targets.nan_to_num(nan=torch.inf).amin(1)
