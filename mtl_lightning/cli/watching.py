"""How long the processes of a run wait for each other."""

from collections.abc import Callable

from lightning.pytorch import Trainer

from mtl_lightning.callbacks import ProcessWatch
from mtl_lightning.cli.launcher import Launcher
from mtl_lightning.training.strategies import limit_waiting


def watch_processes(trainer: Trainer, seconds: float, hints: Callable[[], list[str]]) -> ProcessWatch:
    """Limits how long processes wait for each other; returns what is to be stopped when the command ends.

    Args:
        trainer: Whose processes have not yet found each other.
        seconds: That one of them may keep the others waiting.
        hints: What a user can do where this process is ended.
    """

    def end_others() -> None:
        if isinstance(trainer.strategy.launcher, Launcher):
            trainer.strategy.launcher.kill_started()

    watch = ProcessWatch(seconds, end_others, hints)
    trainer.callbacks.insert(0, watch)  # type: ignore[attr-defined]
    limit_waiting(trainer.strategy, seconds)
    return watch
