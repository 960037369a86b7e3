"""How processes are started that need all that a run imports."""

import os
import signal
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.compare.running.launchers.hardware import gpus
from mtl_lightning.stopping import held_back, released

_PRELOADED = ["mtl_lightning.compare.running.launchers.preloaded"]


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
    """How processes are started: they fork from one that has imported everything and done nothing.

    That one lives until this process ends. A signal to stop, which may be sent to a whole group of processes, is
    nothing to it: without it nobody could tell any more how the others have ended.
    """
    context = _Context()
    context.set_forkserver_preload(_PRELOADED)
    return context


class _Process(ForkServerProcess):
    def start(self) -> None:
        resource_tracker.ensure_running()  # or else the server starts it, which lets all signals through
        with held_back():
            forkserver.ensure_running()
        super().start()

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends it without a word
        released()
        super().run()


class _Context(ForkServerContext):
    Process = _Process
