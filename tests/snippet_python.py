"""Runs the ``python`` blocks of a page, one after another, in a process of their own."""

import os
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from mtl_lightning.compare.running.launchers import processes
from mtl_lightning.compare.running.run.execute import start_processes_as_usual


class Interpreter:
    """What a page's reader has typed into Python so far.

    Args:
        folder: Where it runs, and finds modules.
        env: Its whole environment.
        output: The file to which it prints.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], output: Path) -> None:
        self._output = output
        self._connection, theirs = processes().Pipe()
        given = (theirs, str(folder), dict(env), str(output))
        self._process: Any = processes().Process(target=_interpret, args=given)
        self._process.start()
        theirs.close()

    def run(self, text: str, page: Path, line: int) -> str | None:
        """Runs a block; what went wrong, with what it printed, or null.

        Args:
            text: Of the block.
            page: In which it stands.
            line: In which it starts.
        """
        self._connection.send((text, str(page), line))
        try:
            error: str | None = self._connection.recv()
        except EOFError:
            self._process.join()
            error = f"the process ended with {self._process.exitcode}"
        return error and f"{error}\n{self._output.read_text('utf-8')[-2000:]}"

    def close(self) -> None:
        """Ends it."""
        self._connection.close()
        self._process.join()


def _interpret(connection: Connection, folder: str, env: Mapping[str, str], output: str) -> None:
    start_processes_as_usual()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for number in (1, 2):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    sys.path.insert(0, folder)
    sys.modules["__main__"] = module = ModuleType("__main__")
    while True:
        try:
            text, page, line = connection.recv()
        except EOFError:
            return
        connection.send(_error_of(text, page, line, module))


def _error_of(text: str, page: str, line: int, module: ModuleType) -> str | None:
    try:
        exec(compile("\n" * (line - 1) + text, page, "exec"), vars(module))
    except BaseException:
        return traceback.format_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return None
