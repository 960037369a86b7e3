"""Schedules: which data sets appear in which step, one file each."""

from mtl_lightning.data.schedules.alternating import Alternating
from mtl_lightning.data.schedules.base import Schedule
from mtl_lightning.data.schedules.round_robin import RoundRobin

__all__ = ["Alternating", "RoundRobin", "Schedule"]
