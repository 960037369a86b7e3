"""What is logged of a training step."""

from functools import lru_cache
from typing import Any

from torch import Tensor

from mtl_lightning.backward import Step, conflicts
from mtl_lightning.training.expert_log import expert_log


@lru_cache(maxsize=64)
def _names(of: str, tasks: tuple[str, ...]) -> list[str]:
    return [f"train/{of}/{task}" for task in tasks]


class StepLog:
    """Keeps the newest value of every name, since a step need not have all tasks, and logs them when loggers write."""

    def __init__(self) -> None:
        self._newest: dict[str, Tensor | float] = {}

    def add(self, module: Any, step: Step) -> None:
        """Takes a step; `LightningModule.log` costs 0.4 ms a name, so it is called on the steps that loggers write.

        Args:
            module: The LightningModule that logs.
            step: What the executor found.
        """
        self._newest["train/loss"] = step.objective.detach()
        self._newest.update(zip(_names("loss", tuple(step.losses)), step.losses.values(), strict=True))
        self._newest.update(zip(_names("weight", tuple(step.weights)), step.weights.values(), strict=True))
        self._newest |= {f"train/term/{name}": term for name, term in (step.terms or {}).items()}
        every, number = module.trainer.log_every_n_steps, module.trainer.global_step + 1
        if number == 1 or (every and number % every == 0):
            self._add_gradients(step)
            experts = expert_log(module.sharing.observe().use)
            self._newest |= {f"train/{name}": value for name, value in experts.items()}
            for name, value in self._newest.items():
                module.log(name, value, prog_bar=name.startswith("train/loss/"), batch_size=1)

    def _add_gradients(self, step: Step) -> None:
        if step.gramian is not None:
            found = conflicts(step.gramian, list(step.losses))
            self._newest |= {f"train/gradient/{name}": value for name, value in found.items()}
        if step.seconds is not None:
            self._newest["train/solver_seconds"] = step.seconds

    def state_dict(self) -> dict[str, float]:
        """For a checkpoint."""
        return {name: float(value) for name, value in self._newest.items()}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """From a checkpoint."""
        self._newest = dict(state_dict)
