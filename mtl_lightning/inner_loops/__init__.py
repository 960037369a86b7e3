"""Inner loops: how a model adapts to the support set of an episode, and what of it trains the model, one file each."""

from mtl_lightning.inner_loops.base import Episode, InnerLoop, Loss, Parameters
from mtl_lightning.inner_loops.maml import ANIL, FOMAML, MAML
from mtl_lightning.inner_loops.meta_sgd import MetaSGD
from mtl_lightning.inner_loops.mldg import MLDG
from mtl_lightning.inner_loops.reptile import Reptile

__all__ = ["ANIL", "FOMAML", "MAML", "MLDG", "Episode", "InnerLoop", "Loss", "MetaSGD", "Parameters", "Reptile"]
