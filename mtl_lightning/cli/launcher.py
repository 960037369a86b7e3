"""The further processes of a run on several devices, which the first one starts."""

import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from mtl_lightning.cli.world import STARTED_BY
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import (
    NUMBERS,
    Interrupted,
    PeerFailedError,
    ProcessDiedError,
    follow_parent,
    of_what,
    peer_failure,
    peer_is_gone,
)
from mtl_lightning.terminal import say

_GRACE = 5.0  # seconds for the further processes to end by themselves
_SAYING = 20.0  # seconds for one that has failed to say why
_PATIENCE = 20.0  # seconds for the first one to notice that another one is gone


class Launcher(_SubprocessScriptLauncher):
    """Lightning's, but for what happens when a process dies.

    Lightning kills the first process too, before it could say why or write down what it knows. Here it ends by the
    error of whatever it waits for the other one with, and says who has died; only one that hangs is ended. No process
    is left behind: those that are started follow the first one.

    Attributes:
        explain: Is given what this process ends by, before it waits for the others.
        gather: Is called once, before the processes join: waits until all are there.
        hints: What a user can do when the run has failed.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.explain: Callable[[BaseException], Any] = lambda error: None
        self.gather: Callable[[], Any] | None = None
        self.hints: Callable[[], list[str]] = list

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Starts the processes, unless they are there, and calls a function; see Lightning's.

        Raises:
            ProcessDiedError: If another one of them has died.
            Interrupted: If another one of them was asked to stop.
        """
        self._left = threading.Event()
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            os.environ[STARTED_BY] = str(os.getpid())
            self._call_children_scripts()
        elif self.cluster_environment.local_rank() > 0:
            follow_parent(self._first_is_gone)
        for process in self.procs:
            threading.Thread(target=self._watch, args=(process, self._left), daemon=True).start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        try:
            gather, self.gather = self.gather, None
            if gather is not None:
                gather()
            return function(*args, **kwargs)
        except BaseException as error:
            self._left.set()
            self._end(error)
            raise
        finally:
            self._left.set()

    def wait(self) -> None:
        """Waits for the end of the processes that this one has started; ends those that do not end."""
        with suppress(subprocess.TimeoutExpired):
            for process in self.procs:
                process.wait(_GRACE)
        self.kill_started()

    def _watch(self, process: subprocess.Popen[bytes], left: threading.Event) -> None:
        """Ends this process if it hangs because another one is gone."""
        if process.wait() and not left.wait(_PATIENCE):
            self.kill_started()
            say(f"error: {self._dead()}", error=True)
            os._exit(1)

    def _first_is_gone(self) -> None:
        """Ends this process with the first one, which ends the others itself unless it is killed."""
        if self.cluster_environment.local_rank() == 1:
            say("; ".join(["error: the first process of this run has died", *self.hints()]), error=True)
        os._exit(1)

    def _end(self, error: BaseException) -> None:
        """Ends the other processes, and raises what is to be said in place of an error that one of them has led to."""
        stopped_alone = isinstance(error, Interrupted) and not error.said
        if stopped_alone or isinstance(error, UserError):  # which the others may find, too
            self.kill_started()
        self.explain(error)
        failure = peer_failure(error)
        with suppress(subprocess.TimeoutExpired):
            for process in self.procs:
                process.wait(_GRACE if failure is None else _SAYING)
        dead, statuses = self._dead(), [process.poll() for process in self.procs]
        self.kill_started()
        if dead and (type(error) is RuntimeError or peer_is_gone(error)):
            if stops := [number for number in NUMBERS if {-number, 128 + number} & set(statuses)]:
                raise Interrupted(128 + stops[0]) from error
            raise (ProcessDiedError(dead) if failure is None else PeerFailedError(dead, said=True)) from error

    def _dead(self) -> str:
        """Which process has died, and of what; nothing if none has."""
        found = ((rank, process) for rank, process in enumerate(self.procs, 1) if process.poll())
        return next((f"process {rank} of this run ({p.pid}) {of_what(p.returncode)}" for rank, p in found), "")

    def kill_started(self) -> None:
        """Ends the processes that this one has started."""
        for process in self.procs:
            process.kill()
            process.wait()
