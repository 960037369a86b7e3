"""AITM's calibrator."""

from collections.abc import Mapping

from torch import Tensor

from mtl_lightning.chains.base import Link
from mtl_lightning.chains.probabilities import log_odds, positive_index
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Task


class Calibrator(Link):
    r"""Punishes a later step that is predicted to be likelier than the earlier one: AITM's behavioral calibrator.

    The loss term :math:`\alpha \, \mathrm{mean}_i \max(0, p_{later,i} - p_{earlier,i})`, logged as
    ``train/term/calibrator/<task>``, over all examples, labelled or not; the outputs stay as they are. It goes with
    ``model.sharing: AITM``, or with any other sharing.

    Cost: none. Difference from the paper: the mean over the batch, not the sum, so that :math:`\alpha` does not depend
    on the batch size. Reference: Xi et al., "Modeling the Sequential Dependence among Audience Multi-step Conversions
    with Multi-task Learning in Targeted Display Advertising" (KDD 2021), the behavioral expectation calibrator.

    Helps: where a step implies the one before it, and the predictions contradict that. Fails: where the later step can
    come without the earlier one. ESMM needs none: its product is never above a factor.

    Args:
        after: The earlier task.
        coefficient: Of the term; the paper's experiments use 0.6.
        detach: Whether the term leaves the earlier task alone.

    Raises:
        UserError: If the coefficient is negative.
    """

    def __init__(self, after: str, coefficient: float = 0.6, detach: bool = False) -> None:
        super().__init__(after, detach)
        if not 0 <= coefficient < float("inf"):
            raise UserError(f"`coefficient` must be a number of at least 0, found {coefficient}")
        self.coefficient = coefficient

    def build(self, name: str, tasks: Mapping[str, Task]) -> None:
        (before,) = self.after
        self._term = f"calibrator/{name}"
        self._positive, self._earlier_positive = positive_index(name, tasks), positive_index(before, tasks)

    def terms(self, logits: Tensor, earlier: Mapping[str, Tensor]) -> dict[str, Tensor]:
        before = log_odds(earlier[self.after[0]], self._earlier_positive).sigmoid()
        excess = log_odds(logits, self._positive).sigmoid() - before
        return {self._term: self.coefficient * excess.relu().mean()}
