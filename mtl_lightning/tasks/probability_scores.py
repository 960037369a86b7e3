"""How good probabilities are, not only their order."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import Metric
from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

from mtl_lightning.tasks.means import MeanScore
from mtl_lightning.tasks.scoring import Catalogue

_BINS = 15


class LogLoss(MeanScore):
    """The mean of -log p of the right label: the cross entropy without weights, smoothing or focus.

    >>> import torch
    >>> loss = LogLoss()
    >>> loss.update(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    >>> loss.compute()
    tensor(0.6931)
    """

    higher_is_better = False

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Takes logits [B, K] and the right labels [B]."""
        self.add(cross_entropy(logits.double(), targets, reduction="sum"), len(targets))


class Bias(MeanScore):
    """The mean of the predicted probabilities minus the share of examples that are positive: 0 at best.

    >>> import torch
    >>> bias = Bias()
    >>> bias.update(torch.tensor([0.5, 0.75]), torch.tensor([0, 1]))
    >>> bias.compute()
    tensor(0.1250)
    """

    def update(self, scores: Tensor, truth: Tensor) -> None:
        """Takes probabilities, and 1 where the label is positive, else 0, both of the same shape."""
        self.add((scores.double() - truth).sum(), truth.numel())


def probability_metrics(num_labels: int) -> Catalogue:
    """What makes each metric; ``bias`` is of two labels alone.

    Args:
        num_labels: K.
    """
    if num_labels > 2:
        return {"log_loss": LogLoss, "calibration_error": lambda: MulticlassCalibrationError(num_labels, _BINS)}
    made: dict[str, Callable[[], Metric]] = {"log_loss": LogLoss, "bias": Bias}
    return {**made, "calibration_error": lambda: BinaryCalibrationError(_BINS)}
