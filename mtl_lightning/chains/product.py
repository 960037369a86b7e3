"""A product of probabilities."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mtl_lightning.chains.fusion import Fusion
from mtl_lightning.chains.probabilities import log_odds, log_product, positive_index, positive_indices, two_logits
from mtl_lightning.tasks import Task


class Product(Fusion):
    r"""The probability that several tasks are all positive, as if they were independent given the input.

    :math:`p = \prod_t \sigma(o_t)` with log odds :math:`o_t`, computed in log space.

    Args:
        of: The tasks, each with two labels, as this one has.
        trained: Whether its loss trains these tasks. Otherwise it is no task for the weighting.
    """

    def __init__(self, of: Sequence[str], trained: bool = False) -> None:
        super().__init__(of, trained)

    def build(self, name: str, tasks: Mapping[str, Task]) -> None:
        self._positive, self._positives = positive_index(name, tasks), positive_indices(self.after, tasks)

    def fuse(self, outputs: Mapping[str, Tensor]) -> Tensor:
        odds = [log_odds(outputs[task], positive) for task, positive in self._positives.items()]
        return two_logits(self._positive, *log_product(odds))
