"""What the runs of a comparison show, and what they do not: pure functions on tables."""

from mtl_lightning.compare.statistics.summarise import summarise

__all__ = ["summarise"]
