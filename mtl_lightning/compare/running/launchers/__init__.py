"""Where runs are done: in processes of this machine, or as jobs of SLURM."""

from pathlib import Path

from mtl_lightning.compare.planning.configs import get_value
from mtl_lightning.compare.planning.plan import Plan
from mtl_lightning.compare.running.launchers.base import Ended, Launcher
from mtl_lightning.compare.running.launchers.forking import prepare_processes, processes
from mtl_lightning.compare.running.launchers.local import LocalLauncher
from mtl_lightning.compare.running.launchers.slurm import SlurmLauncher
from mtl_lightning.errors import UserError

__all__ = [
    "Ended",
    "Launcher",
    "LocalLauncher",
    "SlurmLauncher",
    "devices_of",
    "launcher",
    "local_launcher",
    "prepare_processes",
    "processes",
]


def launcher(plan: Plan, folder: Path) -> Launcher:
    """What runs a comparison."""
    if plan.settings.launcher == "slurm":
        return SlurmLauncher(plan.settings, folder / "slurm")
    return local_launcher(plan)


def local_launcher(plan: Plan) -> LocalLauncher:
    """What runs a comparison on this machine; it starts nothing before it is told to."""
    on_cpu = get_value(plan.base, "trainer.accelerator") == "cpu"
    return LocalLauncher(plan.settings, devices_of(plan), use_gpus=not on_cpu)


def devices_of(plan: Plan) -> int:
    """How many devices a run takes.

    Raises:
        UserError: If the config names devices: it is the comparison that hands them out.
    """
    devices = get_value(plan.base, "trainer.devices")
    if devices in (None, "auto"):
        return 1
    if isinstance(devices, bool) or not str(devices).isdigit() or int(devices) < 1:
        raise UserError(f"trainer.devices: give a number, found {devices!r}; compare assigns the GPUs or cores")
    return int(devices)
