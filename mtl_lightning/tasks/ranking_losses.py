"""Losses of ranking: one a query, of the scores and relevances of its candidates."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

RankingLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Scores s [B, N], relevances y [B, N] and whether a candidate counts [B, N] → the loss of each query [B]."""


def ranknet(scores: Tensor, relevances: Tensor, known: Tensor) -> Tensor:
    """Pairwise: mean of log(1 + exp(s_j - s_i)) over the pairs with y_i > y_j.

    Reference: Burges et al., "Learning to Rank using Gradient Descent" (ICML 2005), eq. 3, with a target probability
    of 1. Difference from the paper: the mean over a query's pairs, so that long lists weigh no more than short ones.
    """
    scores, relevances = scores.masked_fill(~known, 0), relevances.masked_fill(~known, 0)
    before = (relevances.unsqueeze(2) > relevances.unsqueeze(1)) & known.unsqueeze(2) & known.unsqueeze(1)
    losses = softplus(scores.unsqueeze(1) - scores.unsqueeze(2))
    return (losses * before).sum((1, 2)) / before.sum((1, 2)).clamp(min=1)


def listnet(scores: Tensor, relevances: Tensor, known: Tensor) -> Tensor:
    """Listwise: cross entropy of softmax(s) to softmax(y).

    Reference: Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach" (ICML 2007), eq. 2 and
    section 4.2, of the first place; nothing differs.
    """
    return _cross_entropy(scores, relevances.masked_fill(~known, -torch.inf).softmax(1), known)


def softmax(scores: Tensor, relevances: Tensor, known: Tensor) -> Tensor:
    """Listwise: cross entropy of the scores' softmax to y / Σ y; with one relevant candidate, that of choosing it.

    Reference: Bruch et al., "An Analysis of the Softmax Cross Entropy Loss for Learning-to-Rank with Binary Relevance"
    (ICTIR 2019), eq. 2; nothing differs.
    """
    relevances = relevances.masked_fill(~known, 0)
    return _cross_entropy(scores, relevances / relevances.sum(1, keepdim=True).clamp(min=1e-30), known)


RANKING_LOSSES: dict[str, RankingLoss] = {"softmax": softmax, "listnet": listnet, "ranknet": ranknet}


def _cross_entropy(scores: Tensor, target: Tensor, known: Tensor) -> Tensor:
    lowest = torch.finfo(scores.dtype).min  # not infinity: of a query without candidates it would be NaN
    logs = scores.masked_fill(~known, lowest).log_softmax(1).masked_fill(~known, 0)
    return -(target.masked_fill(~known, 0) * logs).sum(1)
