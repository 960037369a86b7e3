"""Keeps executor, optimizer and schedulers to the parameters that there are, and that train."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from mtl_lightning.backward import synchronise_parameters
from mtl_lightning.backward.parameters import GradientOf
from mtl_lightning.training.adapting import adapted_with, learnt_with
from mtl_lightning.training.late_parameters import adopt, follow_groups, parts
from mtl_lightning.training.made_of import frozen, made_of, named_parameters, refuse_another, thaw
from mtl_lightning.training.optimizer_record import Options, apply, arrange, changed, members, options_of
from mtl_lightning.training.optimizers import check_length
from mtl_lightning.training.resumed_config import resumed_with
from mtl_lightning.training.shared_parameters import gradient_source, own_parameters, shared_parameters
from mtl_lightning.training.walk import parameters_and_buffers
from mtl_lightning.weighting import Weighting
from mtl_lightning.weighting.per_layer import PerLayer

Shared = list[nn.Parameter]
Own = dict[str, list[nn.Parameter]]


class TrainedParameters:
    """Asks before each optimizer step, since callbacks may freeze, unfreeze, add and replace parameters at any time.

    Args:
        gradient_of: See :class:`mtl_lightning.training.module.MultiTaskModule`.
    """

    def __init__(self, gradient_of: str) -> None:
        self._gradient_of = gradient_of
        self._options: Options = {}
        self._made_of: dict[str, str | None] = {}
        self._seen: list[tuple[int, bool]] | None = None
        self._frozen_at_start: list[str] = []
        self._saved: Mapping[str, Any] = {}

    def of(self, module: Any) -> tuple[Shared, Own, GradientOf]:
        """What the executor is to know: shared parameters, each task's, and what tasks are compared by."""
        shared = shared_parameters(module.encoder, module.sharing)
        learnt = learnt_with(module)
        own = {task: _own(module, task, learnt) for task in module.trained_tasks}
        rates = [each for _, parameter in shared for each in learnt.get(id(parameter), ())]
        source = gradient_source(self._gradient_of, shared, module.encoder)
        return [*(parameter for _, parameter in shared), *rates], own, source

    def follow(self, module: Any, parameters: Sequence[nn.Parameter] | None = None) -> None:
        """Tells executor, optimizer and schedulers of what has changed.

        Args:
            module: The MultiTaskModule that is trained.
            parameters: All that it holds, if the caller has them.
        """
        held = parameters_and_buffers(module)[0] if parameters is None else parameters
        now = [(id(parameter), parameter.requires_grad) for parameter in held]
        if now != self._seen:
            self._seen = now
            module.executor.use(*self.of(module))
            for optimizer in module.trainer.optimizers:
                synchronise_parameters(adopt(optimizer, module.parameter_groups()))
        for config in module.trainer.lr_scheduler_configs:
            follow_groups(config.scheduler)

    def configured(self, module: Any, optimizers: dict[str, Any]) -> dict[str, Any]:
        """Takes note of how optimizer and scheduler are configured, before any callback changes them.

        Args:
            module: The MultiTaskModule.
            optimizers: What ``configure_optimizers`` returns, as this does.
        """
        scheduler = optimizers.get("lr_scheduler", {}).get("scheduler")
        self._made_of = made_of(module.weighting, optimizers["optimizer"], scheduler)
        for name, value in vars(module.grouping).items():
            if name != "head_lr_factor":  # which takes effect when a run is resumed
                self._made_of[name] = None if value is None else str(value)
        self._options = options_of(optimizers["optimizer"])
        return optimizers

    # -- resuming ----------------------------------------------------------------------------------------------------
    def state_dict(self, module: Any) -> dict[str, Any]:
        """For a checkpoint: names, so that what callbacks have changed is found again in a fresh model."""
        optimizers = getattr(module.trainer, "optimizers", [])
        if not optimizers:
            return {}
        names = {id(parameter): name for name, parameter in named_parameters(module).items()}
        return {
            "made_of": dict(self._made_of),
            "optimizer": {"options": self._options, "groups": members(optimizers[0], names)},
            "frozen": {"at_start": self._frozen_at_start, "now": frozen(module)},
        }

    def load_state_dict(self, module: Any, saved: Mapping[str, Any]) -> None:
        """From the checkpoint of a run that is resumed.

        Raises:
            UserError: If it was trained with another weighting, or with other settings that cannot take effect.
        """
        self._saved = saved
        refuse_another("weighting", saved.get("made_of", {}), made_of(module.weighting))
        if module.config is not None and "config" in saved:
            line = resumed_with(saved["config"], module.config, optimizer_is_known="optimizer" in saved)
            if line is not None:
                rank_zero_info(line)

    def arrange(self, module: Any) -> None:
        """Gives the optimizer the groups that callbacks had made, before its state is loaded.

        Raises:
            UserError: If the run had another optimizer or scheduler.
        """
        self._seen = None
        if (was := self._saved.get("optimizer")) is None:
            return
        (optimizer,) = module.trainer.optimizers
        for part in self._made_of:
            refuse_another(part, self._saved["made_of"], self._made_of)
        parameters = named_parameters(module)
        names = {id(parameter): name for name, parameter in parameters.items()}
        if members(optimizer, names) != was["groups"]:
            arrange(optimizer, was["groups"], parameters)
        for config in module.trainer.lr_scheduler_configs:
            follow_groups(config.scheduler)

    def start(self, module: Any) -> None:
        """Takes up what callbacks had frozen or unfrozen, and options that are configured otherwise than before."""
        self._frozen_at_start = frozen(module)
        if "frozen" in self._saved:
            thaw(module, self._saved["frozen"], self._frozen_at_start)
        if "optimizer" in self._saved:
            self._change_options(module)
        check_length(module.trainer)
        self._saved = {}

    def _change_options(self, module: Any) -> None:
        schedulers = [part for config in module.trainer.lr_scheduler_configs for part in parts(config.scheduler)]
        lines: dict[str, list[str]] = {}
        for name, option, was, value in changed(self._saved["optimizer"]["options"], self._options):
            apply(module.trainer.optimizers[0], schedulers, name, option, was, value)
            lines.setdefault(f"`{option}` is {value} now, was {was}", []).append(name)
        for line, groups in lines.items():
            rank_zero_info(f"Resumed with another optimizer setting: {line} ({', '.join(groups)})")


def _own(module: Any, task: str, learnt: Mapping[int, Sequence[nn.Parameter]]) -> list[nn.Parameter]:
    """A task's own parameters, and those of the tasks that the model adapts by before it."""
    held = [p for each in (task, *adapted_with(module, task)) for p in own_parameters(module, each, learnt)]
    return list({id(parameter): parameter for parameter in held}.values())


def weighting_of(weighting: Callable[[Sequence[str]], Weighting], tasks: Sequence[str], gradient_of: str) -> Weighting:
    """What balances the tasks: with ``gradient_of: layers`` a copy of the method for each layer.

    Raises:
        UserError: If the method does not see the Gramian of the gradients.
    """
    return PerLayer(tasks, cast(Any, weighting)) if gradient_of == "layers" else weighting(tasks)
