"""How many processes train on how many machines: what the user says, and what has started them."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.strategies import ParallelStrategy, Strategy

from mtl_lightning.cli.world import STARTED_BY, VARIABLES, World, unstarted_tasks
from mtl_lightning.errors import UserError
from mtl_lightning.training.strategies import refuse_other_starts, refuse_split_model

_ALL = ("auto", -1, "-1")
_OF_GPUS = ("auto", "gpu", "cuda")


def processes_to_use(trainer: Mapping[str, Any], found: World | None, environ: Mapping[str, str]) -> dict[str, int]:
    """The Trainer's ``devices`` and ``num_nodes`` where they follow from what has started this process.

    Args:
        trainer: Arguments of the Trainer.
        found: What was started.
        environ: The environment.

    Raises:
        UserError: If both contradict each other, or nothing says where the other machines are.
    """
    devices, nodes = _count(trainer["devices"]), trainer["num_nodes"]
    if found is None:
        if (tasks := unstarted_tasks(environ)) and (devices != 1 or nodes > 1):
            raise UserError(
                f"SLURM's job has {tasks} tasks, and this process is none of them; start the command with `srun`, or "
                "give `--trainer.devices 1` for a single process"
            )
        if STARTED_BY not in environ:
            _refuse_lone_node(nodes, environ)
        return {}
    counted = found.nodes or nodes
    if found.size % counted:
        raise UserError(f"trainer.num_nodes is {nodes}, which does not divide the {found.size} processes there are")
    if nodes not in (1, counted):
        raise UserError(
            f"trainer.num_nodes is {nodes}, and {found.starter} has started this run on {counted}; leave it out"
        )
    here = found.size // counted
    if devices not in (None, here):
        raise UserError(_contradiction(trainer["devices"], here, found))
    _refuse_shared_gpus(trainer["accelerator"], here, found)
    return {"devices": here, "num_nodes": counted} if devices is None or nodes != counted else {}


def num_processes(trainer: Mapping[str, Any]) -> int:
    """Number of processes that a trainer would have; one a GPU that is here where the user leaves it open.

    Args:
        trainer: Arguments of the Trainer.
    """
    devices = _count(trainer["devices"])
    if devices is None:
        devices = torch.cuda.device_count() if trainer["accelerator"] in _OF_GPUS else 0
    return max(devices, 1) * int(trainer["num_nodes"])


def check_strategy(strategy: Strategy, trains: bool) -> None:
    """Refuses a strategy that cannot work, or that counts other processes than there are.

    Args:
        strategy: Of the Trainer.
        trains: Whether the model is trained.

    Raises:
        UserError: Of such a strategy.
    """
    refuse_other_starts(strategy)
    if trains:
        refuse_split_model(strategy)
    environment = getattr(strategy, "cluster_environment", None)
    if not isinstance(strategy, ParallelStrategy) or environment is None:
        return
    counted = len(strategy.parallel_devices or ()) * getattr(strategy, "num_nodes", 1)
    if environment.creates_processes_externally and counted != (size := environment.world_size()):
        raise UserError(
            f"trainer.devices times trainer.num_nodes is {counted}, but the processes that were started are {size}"
        )


def _count(devices: Any) -> int | None:
    """How many devices ``trainer.devices`` asks for; null: all."""
    if devices in _ALL or devices is None:
        return None
    if isinstance(devices, str):
        parts = [part for part in devices.split(",") if part.strip()]
        return len(parts) if "," in devices or not devices.isdigit() else int(devices)
    return len(devices) if isinstance(devices, list) else int(devices)


def _contradiction(devices: Any, here: int, found: World) -> str:
    where = f"{found.starter} has started {here} on each node"
    if found.starter == VARIABLES:
        where = f"WORLD_SIZE is {found.size}"
    return f"trainer.devices is {devices}, and {where}; leave it out, or start as many with {found.option}"


def _refuse_lone_node(nodes: int, environ: Mapping[str, str]) -> None:
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if name not in environ]
    if nodes > 1 and missing:
        raise UserError(
            f"trainer.num_nodes is {nodes}, but nothing says where the other nodes are; start the command on each with "
            f"`torchrun` or `srun`, or set {', '.join(missing)}"
        )


def _refuse_shared_gpus(accelerator: Any, here: int, found: World) -> None:
    """Two processes on one GPU wait for each other in NCCL."""
    if accelerator not in _OF_GPUS or not torch.cuda.is_available():
        return
    if here > (seen := torch.cuda.device_count()):
        gpus = f"{seen} GPU{'s' if seen > 1 else ''}"
        alone = found.starter == "srun" and seen == 1
        mend = "ask for them with `--gpus-per-node`, not `--gpus-per-task`, or " if alone else ""
        raise UserError(f"{here} processes run on this node, which see {gpus}; {mend}start {seen} with {found.option}")
