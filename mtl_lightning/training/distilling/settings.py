"""How a model learns from others."""

import math
from dataclasses import dataclass

from mtl_lightning.errors import UserError


@dataclass(frozen=True)
class Distillation:
    r"""Lets tasks learn from trained models: knowledge distillation.

    The loss of a task is :math:`(1 - w) \cdot hard + w \cdot soft + f \cdot features`. The hard loss is the task's own,
    the mean over the labels of the step; the soft one compares the student's predictions with the teacher's, T² times
    the Kullback-Leibler divergence of probabilities at the temperature T (squared error, of numbers), the mean over all
    examples or words of the step: those without labels learn from the teacher alone. A task that its teacher does not
    teach learns from labels alone.

    Args:
        teacher: A checkpoint, or the folder of a run, which means its best one; of several teachers, that of each task
            by its name. It is needed to train, not to predict.
        temperature: T, above 0.
        weight: w, in [0, 1].
        features: f, at least 0; above: the squared error of a linear map, learnt with the student, from the features
            that a head reads to those that the teacher's reads.

    Reference: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), section 2; the features are those
    of Romero et al., "FitNets: Hints for Thin Deep Nets" (ICLR 2015), eq. 3, trained together with the rest.
    """

    teacher: str | dict[str, str]
    temperature: float = 2.0
    weight: float = 0.5
    features: float = 0.0

    def __post_init__(self) -> None:
        if not self.teacher:
            raise UserError("model.distil.teacher: name a run, or one for each task")
        if not 0 < self.temperature < math.inf:
            raise UserError(f"model.distil.temperature must be above 0, found {self.temperature}")
        if not 0 <= self.weight <= 1:
            raise UserError(f"model.distil.weight must lie between 0 and 1, found {self.weight}")
        if not 0 <= self.features < math.inf:
            raise UserError(f"model.distil.features must be at least 0, found {self.features}")
