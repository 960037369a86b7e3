"""Schedules: which data sets appear in which step, one file each."""

from mtl_lightning.data.schedules.alternating import Alternating
from mtl_lightning.data.schedules.annealed import Annealed
from mtl_lightning.data.schedules.base import Schedule, checked_steps
from mtl_lightning.data.schedules.epoch_length import EpochLength
from mtl_lightning.data.schedules.fixed_probabilities import FixedProbabilities
from mtl_lightning.data.schedules.learning_progress import LearningProgress
from mtl_lightning.data.schedules.moment import Moment, Score
from mtl_lightning.data.schedules.proportional import Proportional
from mtl_lightning.data.schedules.round_robin import RoundRobin
from mtl_lightning.data.schedules.sampled import SampledSchedule
from mtl_lightning.data.schedules.temperature import Temperature
from mtl_lightning.data.schedules.uniform import Uniform
from mtl_lightning.data.schedules.validation_driven import ValidationDriven

__all__ = [
    "Alternating",
    "Annealed",
    "EpochLength",
    "FixedProbabilities",
    "LearningProgress",
    "Moment",
    "Proportional",
    "RoundRobin",
    "SampledSchedule",
    "Schedule",
    "Score",
    "Temperature",
    "Uniform",
    "ValidationDriven",
    "checked_steps",
]
