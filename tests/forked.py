"""Runs commands and scripts in processes that fork from one which has imported everything: seconds sooner."""

import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import Any

from patience import PATIENCE

from mtl_lightning.compare.running.launchers import processes
from mtl_lightning.compare.running.run.execute import start_processes_as_usual

_STREAMS = {"input": os.O_RDONLY, "output": os.O_WRONLY, "errors": os.O_WRONLY}


class Forked:
    """``python -m mtl_lightning ARGUMENTS``, or another module or script, but for its start; begins at once.

    Args:
        arguments: After the program's name.
        script: What is run instead.
        module: What is run instead, by its name.
        cwd: Where.
        env: Its whole environment, as :func:`subprocess.run` takes it.
        input: What it reads.
    """

    def __init__(
        self,
        *arguments: str,
        script: Path | None = None,
        module: str | None = None,
        cwd: Path | str = ".",
        env: Mapping[str, str] | None = None,
        input: str = "",
    ) -> None:
        self._arguments = arguments
        self._folder = TemporaryDirectory()
        for name in _STREAMS:
            Path(self._folder.name, name).write_text(input if name == "input" else "")
        given = (arguments, script or module, cwd, dict(env or os.environ), Path(self._folder.name))
        self._process: Any = processes().Process(target=_main, args=given)
        self._process.start()

    @property
    def pid(self) -> int:
        """Of its process."""
        number: int = self._process.pid
        return number

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        running: bool = self._process.is_alive()
        return running

    def kill(self) -> None:
        """Ends it at once, as the system does when memory runs out."""
        self._process.kill()

    def finish(self, timeout: float = PATIENCE) -> "CompletedProcess[str]":
        """Waits for its end."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"{self._arguments} is still running"
        with self._folder as folder:
            printed = [Path(folder, name).read_text() for name in ("output", "errors")]
        return CompletedProcess(self._arguments, self._process.exitcode, *printed)


def run(*arguments: str, **options: Any) -> "CompletedProcess[str]":
    """Starts a command and waits for its end."""
    return Forked(*arguments, **options).finish()


def _main(
    arguments: Sequence[str], target: Path | str | None, cwd: Path | str, environment: Mapping[str, str], folder: Path
) -> None:
    start_processes_as_usual()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, (name, mode) in enumerate(_STREAMS.items()):
        os.dup2(os.open(folder / name, mode), number)
    sys.stdin = os.fdopen(0)  # a child of multiprocessing has none
    sys.argv = [str(target), *arguments]
    if target is None:
        from mtl_lightning.__main__ import main

        sys.modules["__main__"].__spec__ = find_spec("mtl_lightning.__main__")  # Lightning starts further ones with it
        sys.exit(main(arguments))
    if isinstance(target, str):
        sys.path.insert(0, os.getcwd())
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(target.parent))
        runpy.run_path(str(target), run_name="__main__")
