"""Losses of classification: weighted by label, and focal."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mtl_lightning.errors import UserError
from mtl_lightning.tasks.base import IGNORE, full_precision


def mean_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
    focal_gamma: float = 0.0,
) -> Tensor:
    """Mean over the labels present of w_y (1 - p_y)^gamma · cross entropy, in float32; 0 where there is none.

    The sum is divided by the number of labels, not by the sum of their weights as torch's ``reduction="mean"`` does:
    the mean over a data set is then the same in whatever batches it comes, and in a batch of one the weight still
    counts. Weights whose mean over the labels is 1, such as ``balanced`` ones, keep the scale of the loss.

    Args:
        logits: [N, C].
        targets: Indices [N], ``IGNORE`` where missing.
        label_smoothing: See torch's cross entropy.
        weights: w [C]; null: 1.
        focal_gamma: gamma; 0: cross entropy.

    Reference: T.-Y. Lin et al., Focal loss for dense object detection, ICCV 2017, eq. 4 and 5.
    """
    logits = full_precision(logits)
    weights = None if weights is None else weights.to(logits.dtype)
    losses = cross_entropy(
        logits,
        targets,
        weights,
        ignore_index=IGNORE,
        reduction="none" if focal_gamma else "sum",
        label_smoothing=label_smoothing,
    )
    if focal_gamma:
        right = logits.log_softmax(-1).gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        losses = (losses * _focus(-torch.expm1(right), focal_gamma)).sum()
    return losses / torch.ne(targets, IGNORE).sum().clamp(min=1)


def mean_binary_cross_entropy(
    logits: Tensor, targets: Tensor, pos_weight: Tensor | None = None, focal_gamma: float = 0.0
) -> Tensor:
    """Mean over the labels present of (1 - p)^gamma · binary cross entropy, in float32; 0 where there is none.

    Args:
        logits: [N, C].
        targets: 1 where a label applies, 0 where not, NaN where missing [N, C].
        pos_weight: Weight of the examples to which a label applies [C], as in torch; null: 1.
        focal_gamma: gamma, see :func:`mean_cross_entropy`; p is the probability of what is right.
    """
    present = ~targets.isnan()
    logits, truth = full_precision(logits), targets.nan_to_num()
    weight = None if pos_weight is None else pos_weight.to(logits.dtype)
    losses = binary_cross_entropy_with_logits(logits, truth, reduction="none", pos_weight=weight)
    if focal_gamma:
        losses = losses * _focus(torch.sigmoid((1 - 2 * truth) * logits), focal_gamma)
    return (losses * present).sum() / present.sum().clamp(min=1)


def check_fraction(name: str, value: float) -> None:
    """Raises :class:`UserError` if a label smoothing is none."""
    if not 0 <= value <= 1:
        raise UserError(f"`{name}` must lie between 0 and 1, found {value}")


def check_gamma(value: float) -> None:
    """Raises :class:`UserError` if a focal loss's gamma is none."""
    if not 0 <= value < float("inf"):
        raise UserError(f"`focal_gamma` must be at least 0 (0: no focal loss; 2 is usual), found {value}")


def _focus(wrong: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma from 1 - p; at 0, where the slope of a power below 1 is infinite, the gradient is 0."""
    return wrong.clamp(min=torch.finfo(wrong.dtype).tiny) ** gamma
