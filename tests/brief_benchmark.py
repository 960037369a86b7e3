"""``python brief_benchmark.py OPTIONS``: the benchmark, whose processes fork from it instead of importing all again."""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from multiprocessing.connection import Connection
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import datasets

from experiments.benchmark import meeting, memory
from experiments.benchmark.__main__ import main

FORKING = multiprocessing.get_context("fork")


def run(command: Sequence[str], env: Mapping[str, str], **options: Any) -> "CompletedProcess[str]":
    """``python -m experiments.benchmark.memory …``."""
    receiver, sender = FORKING.Pipe(duplex=False)
    process = FORKING.Process(target=_measure, args=(command[3:], env, sender))
    process.start()
    sender.close()
    printed = receiver.recv()
    process.join()
    return CompletedProcess(command, 0, printed)


def _measure(arguments: Sequence[str], environment: Mapping[str, str], sender: Connection) -> None:
    printed = StringIO()
    datasets.config.HF_DATASETS_CACHE = environment["HF_DATASETS_CACHE"]
    with patch("sys.argv", ["memory", *arguments]), patch.dict(os.environ, environment), redirect_stdout(printed):
        memory._main()
    sender.send(printed.getvalue())


if __name__ == "__main__":
    memory.subprocess = SimpleNamespace(run=run, PIPE=None)  # type: ignore[attr-defined]
    meeting.multiprocessing = SimpleNamespace(get_context=lambda method: FORKING)  # type: ignore[attr-defined]
    main()
