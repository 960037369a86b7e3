"""Task chains: how a task's output comes about from those of other tasks, one file each."""

from mtl_lightning.chains.base import Link
from mtl_lightning.chains.calibrator import Calibrator
from mtl_lightning.chains.chain import Chain
from mtl_lightning.chains.classifier_chain import ClassifierChain
from mtl_lightning.chains.esmm import ESMM
from mtl_lightning.chains.formula import Formula
from mtl_lightning.chains.fusion import Fusion
from mtl_lightning.chains.mean import Mean
from mtl_lightning.chains.predicted_spans import PredictedSpans
from mtl_lightning.chains.product import Product

__all__ = [
    "ESMM",
    "Calibrator",
    "Chain",
    "ClassifierChain",
    "Formula",
    "Fusion",
    "Link",
    "Mean",
    "PredictedSpans",
    "Product",
]
