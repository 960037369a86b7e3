"""The weightings that descend, what they look at, and what is published of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mtl_lightning.weighting import (
    COSMOS,
    CRMOGM,
    DBMTL,
    DWA,
    FAMO,
    FORUM,
    FSMTL,
    GLS,
    IGB,
    IMTL,
    IMTLG,
    IMTLL,
    LDCMTL,
    MGDA,
    MOML,
    RLW,
    SAMGS,
    SAMO,
    STCH,
    UWSO,
    AlignedMTL,
    AutoLambda,
    CAGrad,
    CoBa,
    ConFIG,
    DualProj,
    EqualWeighting,
    ExcessMTL,
    FairGrad,
    GO4Align,
    GradDrop,
    GradNorm,
    GradVac,
    MoCo,
    MoDo,
    NashMTL,
    PCGrad,
    ScaleInvariantWeighting,
    SDMGrad,
    UncertaintyWeighting,
    UPGrad,
    Weighting,
)


@dataclass(frozen=True)
class Method:
    """A weighting in this experiment.

    Args:
        make: Makes it from task names.
        shifted: Whether it looks at the losses less their minima, positive like those of real tasks, because it takes
            their logarithm or compares them as ratios. The gradients are the same.
        published: Whether it reaches the front from all starts, or fails from the hard one; null where no paper tells.
    """

    make: Callable[[Sequence[str]], Weighting]
    shifted: bool = False
    published: bool | None = None


METHODS = {
    "Equal": Method(EqualWeighting, published=False),
    "ScaleInvariant": Method(ScaleInvariantWeighting, shifted=True),
    "Uncertainty": Method(UncertaintyWeighting, published=False),
    "DWA": Method(DWA, shifted=True),
    "RLW": Method(RLW),
    "COSMOS": Method(COSMOS, shifted=True),
    "GLS": Method(GLS, shifted=True),
    "IMTLL": Method(IMTLL, shifted=True),
    "STCH": Method(STCH, shifted=True),
    "UWSO": Method(UWSO, shifted=True),
    "IGB": Method(IGB, shifted=True),
    "GO4Align": Method(GO4Align, shifted=True),
    "LDCMTL": Method(LDCMTL, shifted=True),
    "FAMO": Method(partial(FAMO, gamma=0.0), shifted=True, published=True),
    "CoBa": Method(CoBa, shifted=True),
    "GradNorm": Method(GradNorm, shifted=True),
    "MGDA": Method(MGDA, published=True),
    "PCGrad": Method(PCGrad, published=False),
    "GradVac": Method(GradVac),
    "CAGrad": Method(CAGrad, published=False),
    "IMTLG": Method(IMTLG, published=True),
    "IMTL": Method(IMTL, shifted=True),
    "NashMTL": Method(NashMTL, published=True),
    "AlignedMTL": Method(AlignedMTL, published=True),
    "FairGrad": Method(FairGrad),
    "UPGrad": Method(UPGrad),
    "DualProj": Method(DualProj),
    "DBMTL": Method(DBMTL, shifted=True),
    "ConFIG": Method(ConFIG),
    "CRMOGM": Method(CRMOGM),
    "FSMTL": Method(FSMTL),
    "SAMO": Method(SAMO),
    "MoDo": Method(MoDo),
    "SDMGrad": Method(SDMGrad),
    "AutoLambda": Method(AutoLambda),
    "MOML": Method(MOML),
    "FORUM": Method(FORUM),
    "GradDrop": Method(GradDrop),
    "MoCo": Method(MoCo, shifted=True),
    "SAMGS": Method(SAMGS),
    "ExcessMTL": Method(ExcessMTL),
}
PUBLISHED = tuple(name for name, method in METHODS.items() if method.published is not None)
