"""Multi-task learning on PyTorch Lightning.

One shared encoder, a head per task, several interleaved data sets, and a pluggable loss weighting. The names below are
imported when they are first used, so that ``import mtl_lightning`` (and ``--help``) stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mtl_lightning.version import __version__

if TYPE_CHECKING:
    from mtl_lightning.data import MultiTaskDataModule
    from mtl_lightning.errors import UserError
    from mtl_lightning.training.loading import load
    from mtl_lightning.training.module import MultiTaskModule

_EXPORTS = {
    "MultiTaskModule": "mtl_lightning.training.module",
    "MultiTaskDataModule": "mtl_lightning.data",
    "UserError": "mtl_lightning.errors",
    "load": "mtl_lightning.training.loading",
}
__all__ = ["MultiTaskDataModule", "MultiTaskModule", "UserError", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
