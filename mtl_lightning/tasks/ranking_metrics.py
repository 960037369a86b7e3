"""How well scores order the candidates of queries, as sums that several processes can add."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.retrieval import retrieval_normalized_dcg

from mtl_lightning.tasks.means import MeanScore
from mtl_lightning.tasks.scoring import Catalogue

Score = Callable[[Tensor, Tensor, int | None], Tensor]
"""Scores [B, N], relevances [B, N] and the number of places that count (null: all) → a value for each query [B]."""

_AT = re.compile(r"(mrr|ndcg|hit_rate)_at_([1-9]\d*)")
_USUAL = ("mrr", "ndcg", "hit_rate_at_1", "mrr_at_10", "ndcg_at_10")


def reciprocal_rank(scores: Tensor, relevances: Tensor, top: int | None = None) -> Tensor:
    """1 / the place of the first relevant candidate [B]; 0 if it is not among the first.

    As torchmetrics' ``RetrievalMRR``, but a candidate that is irrelevant and scored the same counts as placed before
    it: a model that scores all alike gains nothing by the order of the data.

    Args:
        scores: [B, N], NaN where there is no candidate.
        relevances: [B, N], NaN there too; above 0: relevant.
        top: How many places count; null: all.
    """
    best = scores.masked_fill(~(relevances > 0), -torch.inf).max(1, keepdim=True).values
    place = 1 + ((relevances <= 0) & (scores >= best)).sum(1)
    counts = (relevances > 0).any(1) & (place <= (top or scores.shape[1]))
    return torch.where(counts, 1 / place, 0.0)


def hit_rate(scores: Tensor, relevances: Tensor, top: int | None = None) -> Tensor:
    """1 where a relevant candidate is among the first [B], else 0; arguments as of :func:`reciprocal_rank`."""
    return (reciprocal_rank(scores, relevances, top) > 0).float()


def top_is_right(scores: Tensor, relevances: Tensor, top: int | None = None) -> Tensor:
    """1 where the candidate with the highest score, the first of several, is relevant [B], else 0.

    Args:
        scores: [B, N], minus infinity where there is no candidate.
        relevances: [B, N].
        top: Has no effect.
    """
    return (relevances.gather(1, scores.argmax(1, keepdim=True)).squeeze(1) > 0).float()


def normalized_dcg(scores: Tensor, relevances: Tensor, top: int | None = None) -> Tensor:
    """Discounted cumulative gain of the order divided by that of the best one [B].

    As scikit-learn's ``ndcg_score`` and torchmetrics': the gain is the relevance, and candidates with the same score
    share their places. Arguments as of :func:`reciprocal_rank`.
    """
    found = [
        retrieval_normalized_dcg(score[known := ~relevance.isnan()], relevance[known], top)
        for score, relevance in zip(scores.cpu(), relevances.cpu(), strict=True)
    ]
    return torch.stack(found).to(scores.device)


_SCORES: dict[str, Score] = {"mrr": reciprocal_rank, "ndcg": normalized_dcg, "hit_rate": hit_rate}


class RankingScore(MeanScore):
    """Mean of a score over queries.

    Args:
        score: What a query's is.
        top: How many places count; null: all.

    >>> mrr = RankingScore(reciprocal_rank)
    >>> mrr.update(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    >>> mrr.compute()
    tensor(0.7500)
    """

    def __init__(self, score: Score, top: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.score = score
        self.top = top

    def update(self, scores: Tensor, relevances: Tensor) -> None:
        """Takes scores and relevances [B, N], of B queries; NaN where there is no candidate."""
        if len(scores):
            self.add(self.score(scores, relevances, self.top).double().sum(), len(scores))


def ranking_metrics(names: Iterable[str]) -> Catalogue:
    """What makes each metric: the usual ones, and those of some names that end in ``_at_`` and a number of places."""
    found = {name: partial(RankingScore, _SCORES[name]) for name in ("mrr", "ndcg")}
    for name in (*_USUAL, *names):
        if parts := _AT.fullmatch(name):
            found[name] = partial(RankingScore, _SCORES[parts[1]], int(parts[2]))
    return found
