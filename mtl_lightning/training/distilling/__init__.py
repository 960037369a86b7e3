"""Knowledge distillation: tasks learn from trained models beside their labels."""

from mtl_lightning.training.distilling.distilled import Distilled
from mtl_lightning.training.distilling.settings import Distillation

__all__ = ["Distillation", "Distilled"]
