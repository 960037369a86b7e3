"""Runs a script on several gloo processes, and compares what they found."""

import os
import runpy
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_lightning.compare.execute import start_processes_as_usual
from mtl_lightning.compare.launchers import processes


def run(script: Path, folder: Path, *worlds: int) -> None:
    """``python script folder`` on each number of processes, all at once; they fork from one that has imported all."""
    started = [process for world in worlds for process in _start(script, folder, world)]
    for process, errors in started:
        process.join(timeout=400)
        assert process.exitcode == 0, errors.read_text()[-4000:]


def _start(script: Path, folder: Path, world: int) -> Iterator[tuple[Any, Path]]:
    (folder / str(world)).mkdir()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    for rank in range(world):
        errors = folder / str(world) / f"errors-{rank}.txt"
        environment = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
        process = processes().Process(target=_run, args=(script, folder, errors, environment))
        process.start()
        yield process, errors


def _run(script: Path, folder: Path, errors: Path, environment: dict[str, str]) -> None:
    start_processes_as_usual()
    os.environ.update(environment)
    sys.argv = [str(script), str(folder)]
    sys.path.insert(0, str(script.parent))
    torch.set_num_threads(1)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except BaseException:
        errors.write_text(traceback.format_exc())
        raise


def assert_same(found: Any, expected: Any, tolerance: float, where: str = "") -> None:
    """Numbers and tensors within ``tolerance`` (0: bitwise), all else equal."""
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(
            found, expected, rtol=0, atol=tolerance, equal_nan=True, msg=lambda m: f"{where}: {m}"
        )
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same(found[key], value, tolerance, f"{where}/{key}")
    elif isinstance(expected, float):
        close = {"rel": 1e-6, "abs": 1e-8} if tolerance else {"rel": 0.0, "abs": 0.0}
        assert found == pytest.approx(expected, nan_ok=True, **close), where
    else:
        assert found == expected, where
