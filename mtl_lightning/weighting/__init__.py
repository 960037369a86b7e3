"""Weightings, one file a method. They need torch, numpy and scipy alone: no Lightning, no data, no logger.

In a plain PyTorch loop, three lines take the place of ``losses.sum().backward()``:

>>> import torch
>>> encoder, heads, weighting = torch.nn.Linear(3, 2), torch.nn.Linear(2, 2), UPGrad(["a", "b"])
>>> losses = heads(encoder(torch.randn(8, 3))).square().mean(0)
>>> rows = [torch.autograd.grad(loss, encoder.parameters(), retain_graph=True) for loss in losses]
>>> jacobian = torch.stack([torch.cat([gradient.flatten() for gradient in row]) for row in rows])
>>> (losses @ weighting(gramian(jacobian), losses.detach().double(), torch.arange(2)).float()).backward()

:class:`mtl_lightning.backward.Executor`, which needs torch alone too, does the same in less time and memory, for all
three families, on several processes, with tasks missing.
"""

from mtl_lightning.weighting.aligned_mtl import AlignedMTL
from mtl_lightning.weighting.auto_lambda import AutoLambda
from mtl_lightning.weighting.base import GramianWeighting, JacobianWeighting, LossWeighting, Weighting
from mtl_lightning.weighting.cagrad import CAGrad
from mtl_lightning.weighting.coba import CoBa
from mtl_lightning.weighting.con_fig import ConFIG
from mtl_lightning.weighting.cosmos import COSMOS
from mtl_lightning.weighting.cr_mogm import CRMOGM
from mtl_lightning.weighting.db_mtl import DBMTL
from mtl_lightning.weighting.dualproj import DualProj
from mtl_lightning.weighting.dwa import DWA
from mtl_lightning.weighting.equal import EqualWeighting
from mtl_lightning.weighting.excess_mtl import ExcessMTL
from mtl_lightning.weighting.fairgrad import FairGrad
from mtl_lightning.weighting.famo import FAMO
from mtl_lightning.weighting.fixed import FixedWeighting
from mtl_lightning.weighting.forum import FORUM
from mtl_lightning.weighting.fs_mtl import FSMTL
from mtl_lightning.weighting.gls import GLS
from mtl_lightning.weighting.go4align import GO4Align
from mtl_lightning.weighting.graddrop import GradDrop
from mtl_lightning.weighting.gradnorm import GradNorm
from mtl_lightning.weighting.gradvac import GradVac
from mtl_lightning.weighting.igb import IGB
from mtl_lightning.weighting.imtl import IMTL
from mtl_lightning.weighting.imtl_g import IMTLG
from mtl_lightning.weighting.imtl_l import IMTLL
from mtl_lightning.weighting.inner_products import gramian
from mtl_lightning.weighting.ldc_mtl import LDCMTL
from mtl_lightning.weighting.mgda import MGDA
from mtl_lightning.weighting.moco import MoCo
from mtl_lightning.weighting.modo import MoDo
from mtl_lightning.weighting.moml import MOML
from mtl_lightning.weighting.nash_mtl import NashMTL
from mtl_lightning.weighting.pcgrad import PCGrad
from mtl_lightning.weighting.pivrg import PIVRG
from mtl_lightning.weighting.rlw import RLW
from mtl_lightning.weighting.sam_gs import SAMGS
from mtl_lightning.weighting.samo import SAMO
from mtl_lightning.weighting.scale_invariant import ScaleInvariantWeighting
from mtl_lightning.weighting.sdmgrad import SDMGrad
from mtl_lightning.weighting.sharpness import SharpnessAware
from mtl_lightning.weighting.stch import STCH
from mtl_lightning.weighting.torchjd_adapter import TorchJDAggregator, TorchJDScalarizer, TorchJDWeighting
from mtl_lightning.weighting.uncertainty import UncertaintyWeighting
from mtl_lightning.weighting.upgrad import UPGrad
from mtl_lightning.weighting.uw_so import UWSO

__all__ = [
    "COSMOS",
    "CRMOGM",
    "DBMTL",
    "DWA",
    "FAMO",
    "FORUM",
    "FSMTL",
    "GLS",
    "IGB",
    "IMTL",
    "IMTLG",
    "IMTLL",
    "LDCMTL",
    "MGDA",
    "MOML",
    "PIVRG",
    "RLW",
    "SAMGS",
    "SAMO",
    "STCH",
    "UWSO",
    "AlignedMTL",
    "AutoLambda",
    "CAGrad",
    "CoBa",
    "ConFIG",
    "DualProj",
    "EqualWeighting",
    "ExcessMTL",
    "FairGrad",
    "FixedWeighting",
    "GO4Align",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GramianWeighting",
    "JacobianWeighting",
    "LossWeighting",
    "MoCo",
    "MoDo",
    "NashMTL",
    "PCGrad",
    "SDMGrad",
    "ScaleInvariantWeighting",
    "SharpnessAware",
    "TorchJDAggregator",
    "TorchJDScalarizer",
    "TorchJDWeighting",
    "UPGrad",
    "UncertaintyWeighting",
    "Weighting",
    "gramian",
]
