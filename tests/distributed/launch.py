"""Starts a script on several gloo processes, and compares what they found."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch


def start(script: Path, folder: Path, world: int) -> list[subprocess.Popen[str]]:
    """``python script folder`` on ``world`` processes; what they print to standard output is dropped."""
    (folder / str(world)).mkdir()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def run(script: Path, folder: Path, *worlds: int) -> None:
    """Runs a script on each number of processes, all at once."""
    processes = [process for world in worlds for process in start(script, folder, world)]
    for process in processes:
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors[-4000:]


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
