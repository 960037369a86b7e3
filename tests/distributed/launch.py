"""Starts processes that find each other by gloo, and compares what they found."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Forked

_HELD: list[socket.socket] = []
_SEED = "PL_GLOBAL_SEED"
"""Left by a command that an earlier test has run; with DDP, Lightning would go back to it before it trains."""


def run(script: Path, folder: Path, *worlds: int) -> None:
    """``python script folder`` on each number of processes, all at once."""
    for world in worlds:
        (folder / str(world)).mkdir()
    started = [process for world in worlds for process in start(world, str(folder), script=script)]
    for process in started:
        result = process.finish()
        assert result.returncode == 0, result.stderr[-4000:]


def start(world: int, *arguments: str, env: Mapping[str, str] | None = None, **options: Any) -> list[Forked]:
    """The same command or script on ``world`` processes, each of which is told its rank.

    Args:
        world: How many.
        arguments: Of the command.
        env: What it finds in its environment besides.
        options: Of :class:`.Forked`.
    """
    common = {"WORLD_SIZE": str(world), "MASTER_ADDR": "localhost", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
    common |= env or {}
    ranks = ({"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world))
    inherited = {name: value for name, value in os.environ.items() if name != _SEED}
    return [Forked(*arguments, env={**inherited, **common, **rank}, **options) for rank in ranks]


def start_on_two_nodes(starter: str, *arguments: str, **options: Any) -> list[Forked]:
    """The same command on two nodes of two processes each, told as ``torchrun`` or ``srun`` tell them.

    Args:
        starter: Which of the two.
        arguments: Of the command.
        options: Of :class:`.Forked`.
    """
    port = str(_free_port())
    environs = [(_of_torchrun if starter == "torchrun" else _of_srun)(rank, port) for rank in range(4)]
    return [Forked(*arguments, env={**os.environ, **environ}, **options) for environ in environs]


def _of_torchrun(rank: int, port: str) -> dict[str, str]:
    world = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"}
    ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank % 2), "GROUP_RANK": str(rank // 2)}
    return {**world, **ranks, "MASTER_ADDR": "localhost", "MASTER_PORT": port}


def _of_srun(rank: int, port: str) -> dict[str, str]:
    job = {"SLURM_JOB_ID": "17", "SLURM_JOB_NAME": "test", "SLURM_NTASKS": "4", "SLURM_NNODES": "2"}
    step = {"SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_STEP_NODELIST": "localhost"}
    ranks = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank % 2), "SLURM_NODEID": str(rank // 2)}
    return {**job, **step, **ranks, "MASTER_PORT": port}


def _free_port() -> int:
    """One that nobody else is given: a socket stays bound to it, which does not keep a process from listening there."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("localhost", 0))
    _HELD.append(held)
    port: int = held.getsockname()[1]
    return port


def assert_same(found: Any, expected: Any, tolerance: float = 0, where: str = "") -> None:
    """Numbers and tensors within ``tolerance`` (0: bitwise), all else equal; NaN equals NaN."""
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(
            found, expected, rtol=0, atol=tolerance, equal_nan=True, msg=lambda m: f"{where}: {m}"
        )
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same(found[key], value, tolerance, f"{where}/{key}")
    elif isinstance(expected, list | tuple):
        assert_same(dict(enumerate(found)), dict(enumerate(expected)), tolerance, where)
    elif isinstance(expected, float):
        close = {"rel": 1e-6, "abs": 1e-8} if tolerance else {"rel": 0.0, "abs": 0.0}
        assert found == pytest.approx(expected, nan_ok=True, **close), where
    else:
        assert found == expected, where
