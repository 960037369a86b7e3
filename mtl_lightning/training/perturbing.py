"""The batches of an optimizer step, gone through again under parameters that are moved."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.training.joint_pass import Parts
from mtl_lightning.training.randomness import RandomState, same_again


class Repeated:
    """Keeps the batches of an optimizer step, each with the random numbers that it began with."""

    def __init__(self) -> None:
        self._kept: list[tuple[Parts, RandomState]] = []

    def keep(self, parts: Parts, state: RandomState) -> None:
        """Takes batches that went through the encoder together.

        Args:
            parts: The batches.
            state: Before they did.
        """
        self._kept.append((parts, state))

    def add_perturbed(self, module: Any) -> None:
        """Adds the losses at perturbed parameters, if the step takes any, and forgets the batches.

        Dropout is as it was in each batch, and running statistics stay as they are.

        Args:
            module: The MultiTaskModule.
        """
        kept, self._kept = self._kept, []

        def again(task: str, probe: bool) -> Iterator[tuple[Mapping[str, Tensor], Mapping[str, float]]]:
            for parts, state in kept:
                if not any(task in part.taught for part in parts):
                    continue
                mode = in_evaluation(nn.ModuleList(module.forward_modules)) if probe else nullcontext()
                with same_again(module.forward_modules, state), mode:
                    with torch.set_grad_enabled(not probe or module.inner_loop is not None):  # which takes gradients
                        found = module.losses(parts)
                    yield found.losses, found.shares  # their graph holds buffers, which are put back after it was used

        if kept and module.executor.takes_perturbed:
            module.executor.add_perturbed(again)

    def clear(self) -> None:
        """Forgets what an optimizer step left that was broken off."""
        self._kept = []
