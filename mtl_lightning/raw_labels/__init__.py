"""Labels as they stand in a data set, before they are numbers; tasks and data sets read them alike."""

from mtl_lightning.raw_labels.counted import Counted
from mtl_lightning.raw_labels.missing import Missing, as_setting, is_missing, likely_missing, missing_words, no_label
from mtl_lightning.raw_labels.spelling import Names, look, tidy

__all__ = [
    "Counted",
    "Missing",
    "Names",
    "as_setting",
    "is_missing",
    "likely_missing",
    "look",
    "missing_words",
    "no_label",
    "tidy",
]
