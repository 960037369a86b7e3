"""Gradient descent under weightings, many runs at once."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from experiments.toy.methods import METHODS
from experiments.toy.problem import MINIMA, STARTS, Array, evaluate
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, SharpnessAware, Weighting
from mtl_lightning.weighting.batches import of_equal_batches

LEARNING_RATE = 1e-3

EPOCH = 25
"""Steps between the calls that training makes after an epoch and after a validation."""

Run: TypeAlias = tuple[str, int]
"""The name of a method and the index of its start."""

_TASKS = ("first", "second")
_PRESENT = torch.arange(len(_TASKS))


def descend(runs: Sequence[Run], steps: int, every: int = 50) -> Array:
    """The way that each of N runs takes.

    Args:
        runs: The method and the start of each.
        steps: Of Adam.
        every: Steps between two points of the result.

    Returns:
        Points [N, 1 + steps // every, 2].
    """
    descent = Descent(runs)
    way = [descent.points.copy()]
    for step in range(1, steps + 1):
        descent.step()
        if step % every == 0:
            way.append(descent.points.copy())
    return np.stack(way, axis=1)


class Descent:
    """N runs in step, each with a weighting of its own.

    Losses, gradients and Adam are computed for all runs at once; the weightings are asked one by one. What a weighting
    trains is moved by the same Adam: the row of a run holds its point and its weighting's parameters.

    Args:
        runs: The method and the start of each run.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.weightings = [_weighting(*run) for run in runs]
        self._values = np.zeros((len(runs), 2 + max(map(_num_parameters, self.weightings))))
        self._gradients = np.zeros_like(self._values)
        self.points = self._values[:, :2]
        self.points[:] = STARTS[[start for _, start in runs]]
        for weighting, values, gradients in zip(self.weightings, self._values, self._gradients, strict=True):
            _bind(weighting, values[2:], gradients[2:])
        self._adam = Adam(self._values)
        numbered = list(enumerate(self.weightings))
        self._by_losses = [(run, each) for run, each in numbered if isinstance(each, LossWeighting)]
        by_gramian = [(run, each) for run, each in numbered if isinstance(each, GramianWeighting)]
        self._by_gramian = [(run, each) for run, each in by_gramian if not each.perturbs_parameters]
        self._by_perturbed = [(run, each) for run, each in numbered if isinstance(each, SharpnessAware)]
        self._by_jacobian = [(run, each) for run, each in numbered if isinstance(each, JacobianWeighting)]
        self._by_losses_after = [(run, each) for run, each in numbered if each.needs_losses_after]
        self._shifts = np.array([MINIMA * METHODS[method].shifted for method, _ in runs])
        self._epoch: list[Tensor] = []
        self._look()

    def step(self) -> None:
        """One step of all runs."""
        self._gradients[:] = 0
        self._gradients[:, :2] = self._ask()
        self._adam.step(self._gradients)
        self._epoch.append(self._losses)
        self._look()
        self._tell()

    def _look(self) -> None:
        losses, self._jacobians = evaluate(self.points)
        self._losses = torch.from_numpy(losses - self._shifts)

    def _ask(self) -> Array:
        """The directions that the weightings give [N, 2]; the gradients of their own parameters are written."""
        weights = self._ask_by_losses()
        losses = self._losses.unbind()
        gramians = torch.from_numpy(self._jacobians @ self._jacobians.transpose(0, 2, 1)).unbind()
        jacobians = torch.from_numpy(self._jacobians).unbind()
        with torch.no_grad():
            for run, weighting in self._by_gramian:
                weights[run] = of_equal_batches(weighting, gramians[run], losses[run], _PRESENT).numpy()
            directions: Array = np.einsum("nt,ntp->np", weights, self._jacobians)
            for run, around in self._by_perturbed:
                directions[run] = perturbed_direction(around, self.points[run], jacobians[run], losses[run]).numpy()
            for run, method in self._by_jacobian:
                directions[run] = method(jacobians[run], losses[run], _PRESENT).numpy()
        return directions

    def _ask_by_losses(self) -> Array:
        """The weights that the objectives give to the losses [N, 2]; zero where a weighting has no objective."""
        losses = self._losses.clone().requires_grad_()
        rows = losses.unbind()
        objectives = [weighting(rows[run], _PRESENT) for run, weighting in self._by_losses]
        if objectives:
            torch.autograd.backward(objectives)
        return np.zeros(losses.shape) if losses.grad is None else losses.grad.numpy()

    def _tell(self) -> None:
        """What training tells weightings after a step, an epoch and a validation."""
        losses = self._losses.unbind()
        for run, weighting in self._by_losses_after:
            weighting.on_step_end(losses[run], _PRESENT)
        if len(self._epoch) == EPOCH:
            means = torch.stack(self._epoch).mean(dim=0)
            for weighting, mean, loss in zip(self.weightings, means, losses, strict=True):
                weighting.on_epoch_end(mean, _PRESENT)
                weighting.on_validation_end(loss, _PRESENT)
            self._epoch.clear()


def perturbed_direction(weighting: SharpnessAware, point: Array, jacobian: Tensor, losses: Tensor) -> Tensor:
    """What a method makes of gradients at points that it moves to [2].

    Args:
        weighting: The method.
        point: Where the run is [2].
        jacobian: The gradients there [2, 2].
        losses: The losses there [2].
    """
    at, rows, found = torch.from_numpy(point), [], []
    for task in range(len(_TASKS)):
        gradient = jacobian[task] if weighting.sees_original else jacobian.sum(0)

        def loss_at(changes: Sequence[Tensor], task: int = task) -> Tensor:
            return torch.from_numpy(evaluate((at + changes[0]).numpy()[None]).losses[0])[task]

        (change,) = weighting.perturb([at], [gradient], loss_at)
        there = evaluate((at + change).numpy()[None])
        rows.append(torch.from_numpy(there.jacobian[0])[task])
        found.append(losses[task] + (there.losses[0][task] - evaluate(point[None]).losses[0][task]))
    seen, values = torch.stack(rows), torch.stack(found)
    if weighting.sees_original:
        seen, values = torch.cat([jacobian, seen - jacobian]), torch.cat([losses, values])
    return weighting(seen @ seen.T, values, _PRESENT).to(seen) @ seen


class Adam:
    """`torch.optim.Adam` on an array, in place.

    Args:
        values: What it moves.
    """

    def __init__(self, values: Array) -> None:
        self.values, self.steps = values, 0
        self.mean, self.square = np.zeros_like(values), np.zeros_like(values)

    def step(self, gradients: Array) -> None:
        """One step against the gradients."""
        self.steps += 1
        self.mean += 0.1 * (gradients - self.mean)
        self.square += 0.001 * (gradients * gradients - self.square)
        size = LEARNING_RATE / (1 - 0.9**self.steps)
        self.values -= size * self.mean / (np.sqrt(self.square / (1 - 0.999**self.steps)) + 1e-8)


def _weighting(method: str, seed: int) -> Weighting:
    torch.manual_seed(seed)
    weighting = METHODS[method].make(_TASKS)
    if isinstance(weighting, JacobianWeighting):
        weighting.prepare(STARTS.shape[1])
    return weighting.double()


def _num_parameters(weighting: Weighting) -> int:
    return sum(parameter.numel() for parameter in weighting.parameters())


def _bind(weighting: Weighting, values: Array, gradients: Array) -> None:
    """Lets the weighting's parameters and their gradients live in these arrays."""
    begin = 0
    for parameter in weighting.parameters():
        part = slice(begin, begin := begin + parameter.numel())
        values[part] = parameter.detach().numpy().ravel()
        parameter.data = torch.from_numpy(values[part]).view_as(parameter)
        parameter.grad = torch.from_numpy(gradients[part]).view_as(parameter)
