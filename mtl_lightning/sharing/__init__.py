"""Sharing architectures: what stands between the encoder and the heads, one file each. They need torch alone."""

from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.cross_stitch import CrossStitch
from mtl_lightning.sharing.hard import HardSharing

__all__ = ["CrossStitch", "HardSharing", "Sharing"]
