"""What sharings have in common that change an encoder from within, by what is added to its linear maps."""

from mtl_lightning.sharing.adapting.low_rank import Factors, LowRank
from mtl_lightning.sharing.adapting.pairs import OwnLoRA, SharedLoRA
from mtl_lightning.sharing.adapting.sharing import LowRankSharing

__all__ = ["Factors", "LowRank", "LowRankSharing", "OwnLoRA", "SharedLoRA"]
