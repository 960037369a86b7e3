"""Contract checks: what tasks, encoders, sharings, weightings and schedules must hold, to be run on one of your own.

A check takes a few plain examples and raises ``AssertionError`` with the rule that is broken. It leaves the object that
it was given, and torch's global random state, as they were.
"""

from mtl_lightning.testing.encoders import check_encoder
from mtl_lightning.testing.schedules import check_schedule
from mtl_lightning.testing.sharings import check_sharing
from mtl_lightning.testing.tasks import check_task
from mtl_lightning.testing.weightings import check_weighting

__all__ = ["check_encoder", "check_schedule", "check_sharing", "check_task", "check_weighting"]
