"""Where runs are done: in processes of this machine, or as jobs of SLURM."""

from pathlib import Path

from mtl_lightning.compare.configs import get_value
from mtl_lightning.compare.launchers.base import Ended, Launcher
from mtl_lightning.compare.launchers.forking import prepare_processes, processes
from mtl_lightning.compare.launchers.local import LocalLauncher
from mtl_lightning.compare.launchers.slurm import SlurmLauncher
from mtl_lightning.compare.plan import Plan

__all__ = ["Ended", "Launcher", "LocalLauncher", "SlurmLauncher", "launcher", "prepare_processes", "processes"]


def launcher(plan: Plan, folder: Path) -> Launcher:
    """What runs a comparison."""
    if plan.settings.launcher == "slurm":
        return SlurmLauncher(plan.settings, folder / "slurm")
    devices = get_value(plan.base, "trainer.devices")
    number = len(devices) if isinstance(devices, list) else devices if isinstance(devices, int) else 1
    return LocalLauncher(plan.settings, max(1, number))
