"""Sharing architectures: what stands between the encoder and the heads, one file each. They need torch alone."""

from mtl_lightning.sharing.adatt import AdaTT
from mtl_lightning.sharing.aitm import AITM
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.bottleneck_adapters import BottleneckAdapters
from mtl_lightning.sharing.cgc import CGC
from mtl_lightning.sharing.concatenated_embedding import ConcatenatedEmbedding
from mtl_lightning.sharing.cross_stitch import CrossStitch
from mtl_lightning.sharing.dselect_k import DSelectK
from mtl_lightning.sharing.film import FiLM
from mtl_lightning.sharing.hard import HardSharing
from mtl_lightning.sharing.hybrid import HybridSharing
from mtl_lightning.sharing.learned_branching import LearnedBranching
from mtl_lightning.sharing.lora import LoRA
from mtl_lightning.sharing.mmoe import MMoE
from mtl_lightning.sharing.mtan import MTAN
from mtl_lightning.sharing.mtl_lora import MTLLoRA
from mtl_lightning.sharing.mtlora import MTLoRA
from mtl_lightning.sharing.ple import PLE
from mtl_lightning.sharing.poly import Poly
from mtl_lightning.sharing.preference_film import PreferenceFiLM
from mtl_lightning.sharing.separate import SeparateEncoders
from mtl_lightning.sharing.soft import SoftSharing
from mtl_lightning.sharing.stem import STEM
from mtl_lightning.sharing.task_embedding import TaskEmbedding
from mtl_lightning.sharing.top_k_routing import TopKRouting

__all__ = [
    "AITM",
    "CGC",
    "MTAN",
    "PLE",
    "STEM",
    "AdaTT",
    "BottleneckAdapters",
    "ConcatenatedEmbedding",
    "CrossStitch",
    "DSelectK",
    "FiLM",
    "HardSharing",
    "HybridSharing",
    "LearnedBranching",
    "LoRA",
    "MMoE",
    "MTLLoRA",
    "MTLoRA",
    "Poly",
    "PreferenceFiLM",
    "SeparateEncoders",
    "Sharing",
    "SoftSharing",
    "TaskEmbedding",
    "TopKRouting",
]
