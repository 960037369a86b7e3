"""ESMM."""

from collections.abc import Mapping

from torch import Tensor

from mtl_lightning.chains.base import Link
from mtl_lightning.chains.probabilities import log_odds, log_product, positive_index, two_logits
from mtl_lightning.tasks import IGNORE, Task


class ESMM(Link):
    r"""The entire space multi-task model: p(click and buy) = p(click) · p(buy | click), learnt from all impressions.

    The later task's own head gives the conditional probability, and what the task predicts is the product over it and
    the earlier task: :math:`p_{later} = \sigma(o_{earlier}) \, \sigma(o_{head})` with log odds :math:`o`, computed in
    log space. The task must be labelled for all examples: negative, not missing, where the earlier one is negative. So
    the head is trained through the product and never on clicks alone, which are a biased sample.

    Cost: none beside the head. Difference from the paper: the towers are whatever ``model.sharing`` makes; nothing
    else. Reference: Ma et al., "Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click
    Conversion Rate" (SIGIR 2018), equations 1 and 3.

    Helps: where a step is seen only after another one, such as buying after a click. Fails: where examples are
    labelled only if the earlier task is positive; then it learns from those alone, as a plain head does.

    Args:
        after: The earlier task, such as ``click``; it may be an ESMM itself.
        detach: Whether the later task's loss stops at the earlier task; the paper's does not.
    """

    def __init__(self, after: str, detach: bool = False) -> None:
        super().__init__(after, detach)

    def build(self, name: str, tasks: Mapping[str, Task]) -> None:
        (before,) = self.after
        self._name = name
        self._positive, self._earlier_positive = positive_index(name, tasks), positive_index(before, tasks)

    def doubt(self, targets: Mapping[str, Tensor]) -> str | None:
        (before,) = self.after
        labelled, negative = targets[self._name] != IGNORE, targets[before] == 1 - self._earlier_positive
        known, unknown = int((labelled & negative).sum()), int((~labelled & negative).sum())
        positive = targets[self._name] == self._positive
        if skipped := int((negative & positive).sum()):
            return (
                f"{skipped} of {int(positive.sum())} examples of the first batch that are positive for '{self._name}' "
                f"are negative for '{before}', which ESMM takes to be impossible; correct the labels, or drop the link"
            )
        if known or not unknown:
            return None
        return (
            f"none of the {unknown} examples of the first batch that are negative for '{before}' is labelled for "
            f"'{self._name}', so that ESMM learns from the others alone; label them as negative, not as missing"
        )

    def join(self, logits: Tensor, earlier: Mapping[str, Tensor]) -> Tensor:
        before = log_odds(earlier[self.after[0]], self._earlier_positive)
        return two_logits(self._positive, *log_product([before, log_odds(logits, self._positive)]))
