"""How processes are started that need all that a run imports."""

import multiprocessing
import os
from typing import Any

from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.compare.running.launchers.hardware import gpus

_PRELOADED = [
    "mtl_lightning.cli.command",
    "mtl_lightning.compare.running.run.recorder",
    "sklearn.datasets",
]  # the last one: the demo


def prepare_processes(settings: Settings) -> None:
    """Sets what libraries read from the environment when they are imported, before any process is started.

    Runs that share cores keep to their threads; where there are GPUs, runs are few, and each may use many cores.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if gpus():
        return
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(settings.threads)


def processes() -> Any:
    """How processes are started: they fork from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context
