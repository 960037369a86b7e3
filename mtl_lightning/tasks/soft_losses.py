"""Losses to what a teacher predicts, for knowledge distillation.

Reference: G. Hinton, O. Vinyals and J. Dean, "Distilling the knowledge in a neural network", 2015, section 2.
"""

from torch import Tensor
from torch.nn.functional import kl_div, logsigmoid

from mtl_lightning.tasks.base import full_precision

_ABSENT = -1e4
"""Lowest logit: its probability is 0, as that of minus infinity, but 0 times its logarithm is not NaN."""


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of those of the values [...] at which the mask is true; null: of all."""
    return values.mean() if mask is None else (values * mask).sum() / mask.sum().clamp(min=1)


def mean_divergence(logits: Tensor, taught: Tensor, temperature: float, mask: Tensor | None = None) -> Tensor:
    """Mean of T² · KL(softmax(taught / T) || softmax(logits / T)), in float32; a scalar.

    T² keeps the size of the gradients as T grows, so that the weight beside the hard loss stays what it is.

    Args:
        logits: The student's [..., C], minus infinity where there is no such class.
        taught: The teacher's [..., C].
        temperature: T.
        mask: Which places [...] count; null: all.
    """
    student, teacher = (_logs(scores, temperature) for scores in (logits, taught))
    each = kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
    return temperature**2 * masked_mean(each, mask)


def mean_binary_divergence(logits: Tensor, taught: Tensor, temperature: float, mask: Tensor | None = None) -> Tensor:
    """Mean over labels of T² · KL(sigmoid(taught / T) || sigmoid(logits / T)), of two outcomes each, in float32.

    Args:
        logits: The student's [..., C].
        taught: The teacher's [..., C].
        temperature: T.
        mask: Which places [...] count, each with its C labels; null: all.
    """
    student, teacher = full_precision(logits) / temperature, full_precision(taught) / temperature
    applies = teacher.sigmoid()
    each = applies * (logsigmoid(teacher) - logsigmoid(student))
    each = each + (1 - applies) * (logsigmoid(-teacher) - logsigmoid(-student))
    return temperature**2 * masked_mean(each.mean(-1), mask)


def _logs(scores: Tensor, temperature: float) -> Tensor:
    return (full_precision(scores) / temperature).clamp(min=_ABSENT).log_softmax(-1)
