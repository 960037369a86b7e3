"""What the runs of a comparison left behind, as tables."""

from mtl_lightning.compare.evidence.evidence import BROKEN, MEASURES, SINGLE_TASK, UNFINISHED, Evidence

__all__ = ["BROKEN", "MEASURES", "SINGLE_TASK", "UNFINISHED", "Evidence"]
