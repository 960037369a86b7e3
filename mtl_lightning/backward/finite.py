"""Numbers that are not finite: where they are, and how a step is taken back."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.backward.domain import undefined_parts
from mtl_lightning.backward.gradients import forget
from mtl_lightning.backward.lengths import Lengths
from mtl_lightning.backward.processes import mean_over_processes
from mtl_lightning.backward.shards import local
from mtl_lightning.backward.sparse import values
from mtl_lightning.backward.step import Setup, Tasks
from mtl_lightning.backward.window import OptimizerStep


def judge(names: Sequence[str], losses: Tensor, gradients: Tensor, others: float = 0.0) -> tuple[str, ...]:
    """Names the losses that are not finite, or else the gradients.

    Args:
        names: What the tasks present are called in a message, such as ``'a'`` with its quotes.
        losses: Their losses [T], on the host.
        gradients: The size of their gradients [T], on the host.
        others: The size of the gradient of loss terms that are no task's.
    """
    if isfinite(losses.sum() + gradients.sum() + others):
        return ()
    bad = tuple(f"loss of {name}" for name in _not_finite(names, losses))
    bad = bad or tuple(f"gradient of {name}" for name in _not_finite(names, gradients))
    return bad or (() if isfinite(others) else ("gradient of the loss terms",))


def judge_written(setup: Setup, tasks: Tasks, losses: Tensor, reached: Tasks) -> tuple[str, ...]:
    """The same for gradients that are written, which are those of every process; costs a device synchronisation.

    Args:
        setup: What is trained.
        tasks: The tasks of the optimizer step, once for each of its batches.
        losses: Their losses [T], on their device.
        reached: The tasks whose heads have gradients, each once.
    """
    lengths = [*setup.lengths(reached).written(), *Lengths(setup.weighting.parameters()).written()]
    total = torch.stack([losses.sum(), *lengths]).sum()
    if isfinite((mean_over_processes(total) if setup.is_sharded else total).cpu()):
        return ()
    return judge(quoted(tasks), losses, torch.zeros(len(tasks))) or _culprits(setup, reached)


def _culprits(setup: Setup, tasks: Tasks) -> tuple[str, ...]:
    """Names the heads whose gradients are not finite, or else what else it is."""
    heads = {f"gradient of '{task}'": setup.own[task] for task in tasks}
    others = {
        "gradient of the shared parameters": setup.shared,
        "gradient of the weighting": list(setup.weighting.parameters()),
    }
    found = [(name, p.grad) for name, part in {**heads, **others}.items() for p in part if p.grad is not None]
    lengths = torch.stack(torch._foreach_norm([values(local(gradient)) for _, gradient in found]))
    if setup.is_sharded:
        mean_over_processes(lengths)
    causes = tuple(name for (name, _), length in zip(found, lengths, strict=True) if not length.isfinite())
    return tuple(dict.fromkeys(cause for cause in causes if cause in heads)) or causes


def causes(setup: Setup, step: OptimizerStep, look: bool) -> tuple[str, ...]:
    """What was not finite in an optimizer step whose gradients are written.

    Args:
        setup: What is trained.
        step: The optimizer step.
        look: Whether to wait for the device where that is not known yet.
    """
    bad = step.not_finite
    if look and not bad and not step.judged:
        tasks = tuple(task for batch, _ in step.losses for task in batch)
        reached = tuple(setup.own if step.terms else dict.fromkeys(tasks))  # a term may reach any head
        bad = judge_written(setup, tasks, torch.cat([losses for _, losses in step.losses]), reached)
        bad = bad and (undefined_parts(setup, step.losses) or bad)
    if _of_gradients(bad):
        bad = tuple(f"loss term '{name}'" for name, term in step.terms if not term.isfinite()) or bad
    return tuple(dict.fromkeys(bad))


def _of_gradients(bad: Sequence[str]) -> bool:
    """Whether gradients alone are not finite."""
    return bool(bad) and all(cause.startswith("gradient") for cause in bad)


def overflowed(setup: Setup, bad: Sequence[str]) -> bool:
    """Whether gradients alone are not finite, under a gradient scaler that can lower its scale."""
    return setup.scaler is not None and _of_gradients(bad) and setup.scaler.get_scale() > 1


def take_back(setup: Setup) -> None:
    """Leaves no gradient, so that the optimizer changes nothing, or what makes a gradient scaler skip the step."""
    if setup.scaler is None:
        clear(setup)
    for parameter in _all_parameters(setup):
        if parameter.grad is not None:
            values(local(parameter.grad)).fill_(torch.nan)


def clear(setup: Setup) -> None:
    """Leaves no gradient."""
    forget(_all_parameters(setup))


def copied_state(setup: Setup) -> dict[str, Any]:
    """The weighting's state, to go back to."""
    state = setup.weighting.state_dict()
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}


def restore(setup: Setup, step: OptimizerStep) -> None:
    """Gives the weighting the state that it had before a step, if the step has changed it."""
    if step.before is not None:
        setup.weighting.load_state_dict(step.before)


def _all_parameters(setup: Setup) -> tuple[nn.Parameter, ...]:
    heads = (parameter for head in setup.own.values() for parameter in head)
    return (*setup.shared, *heads, *setup.weighting.parameters())


def quoted(tasks: Sequence[str]) -> list[str]:
    """Tasks as messages call them."""
    return [f"'{task}'" for task in tasks]


def _not_finite(names: Sequence[str], values: Tensor) -> list[str]:
    return [name for name, finite in zip(names, values.isfinite().tolist(), strict=True) if not finite]
