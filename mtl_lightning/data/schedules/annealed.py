"""Data sets drawn by a power of their sizes that changes over the run."""

from collections.abc import Mapping

from mtl_lightning.data.schedules.epoch_length import SumOrSteps, checked
from mtl_lightning.data.schedules.moment import Moment
from mtl_lightning.data.schedules.sampled import SampledSchedule
from mtl_lightning.data.schedules.temperature import exponent
from mtl_lightning.errors import UserError


class Annealed(SampledSchedule):
    r"""Goes from drawing in proportion to size to drawing (almost) uniformly, so that no task is forgotten at the end.

    In epoch e of E, counted from 1, the share of a data set of n batches is proportional to :math:`n^\alpha` with

    .. math::
        \alpha = \alpha_1 + (\alpha_E - \alpha_1) \frac{e - 1}{E - 1}

    Reference: Stickland and Murray, "BERT and PALs: Projected Attention Layers for Efficient Adaptation in Multi-Task
    Learning" (ICML 2019), annealed sampling: :math:`\alpha = 1 - 0.8 \frac{e - 1}{E - 1}`, the defaults here.
    Difference: sizes are counted in batches.

    Args:
        start: :math:`\alpha_1`, from 0 to 1.
        end: :math:`\alpha_E`, from 0 to 1; it is kept in later epochs.
        over_epochs: E; null: the epochs of the run.
        batches_per_step: Number of batches that a step draws, from any data sets.
        epoch_length: When an epoch ends: ``sum``, after as many batches as all data sets have together, or a number of
            steps.

    Raises:
        UserError: If a number is out of its range, or, when an epoch starts, if nothing says how many there will be.

    >>> from collections import Counter
    >>> schedule = Annealed(over_epochs=2)
    >>> [Counter(schedule.steps({"a": 90, "b": 10}, Moment(seed=0, epoch=epoch)))["b",] for epoch in (0, 1)]
    [10, 39]
    """

    def __init__(
        self,
        start: float = 1.0,
        end: float = 0.2,
        over_epochs: int | None = None,
        batches_per_step: int = 1,
        epoch_length: SumOrSteps = "sum",
    ) -> None:
        super().__init__(batches_per_step, checked(epoch_length, ("sum",)))
        self.start = exponent("start", start)
        self.end = exponent("end", end)
        if over_epochs is not None and over_epochs < 1:
            raise UserError(f"data.schedule.over_epochs must be at least 1, found {over_epochs}")
        self.over_epochs = over_epochs

    def weights(self, num_batches: Mapping[str, int], moment: Moment) -> Mapping[str, float]:
        num_epochs = self.over_epochs or moment.num_epochs
        if num_epochs is None:
            raise UserError(
                "data.schedule.over_epochs: Annealed must know the number of epochs; set it, or trainer.max_epochs"
            )
        done = min(moment.epoch / max(num_epochs - 1, 1), 1.0)
        alpha = self.start + (self.end - self.start) * done
        return {name: number**alpha for name, number in num_batches.items()}
