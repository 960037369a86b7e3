"""What the parts of the executor share: what is trained, and what a step found."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl_lightning.backward.gradients import Gradients, Writer, differentiate, differentiate_sharded
from mtl_lightning.backward.lengths import Lengths
from mtl_lightning.backward.parameters import Trained, same_parameters
from mtl_lightning.backward.processes import num_processes
from mtl_lightning.backward.shards import is_sharded, local
from mtl_lightning.weighting import Weighting

Tasks = tuple[str, ...]
"""Names of the T tasks present, in the weighting's order."""


class BatchTasks(NamedTuple):
    """The tasks of one batch, in an order that is the same on every process.

    Attributes:
        present: Those with labels on any process.
        complete: Tasks of which no further batch of the optimizer step has labels, in any order.
    """

    present: Collection[str]
    complete: Collection[str]


class Step(NamedTuple):
    """What a step found; all but the objective is detached.

    Attributes:
        objective: A scalar through which ``Executor.backward`` learns the factors that the trainer applies.
        losses: Mean loss of each task present, over all processes.
        weights: Weight of each task present; empty for Jacobian methods.
        gramian: Inner products of the gradients of the tasks present [T, T], on the host, if they were computed.
        seconds: What the weighting took on the host, if it computes there.
        terms: Loss terms that are no task's, as they join the objective: the mean over steps and processes.
    """

    objective: Tensor
    losses: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    gramian: Tensor | None = None
    seconds: float | None = None
    terms: Mapping[str, Tensor] | None = None


@dataclass
class Setup:
    """What stays the same within an optimizer step, and mostly from step to step.

    Attributes:
        weighting: What balances the tasks.
        shared: Parameters that several tasks train.
        own: Parameters of each task's head.
        evidence: The shared parameters whose gradients the weighting sees, or none of them: it sees the features'.
        weighted_heads: Whether heads receive their loss's gradient times the task's weight.
        scaler: The gradient scaler of fp16 training, if there is one.
        writer: What writes gradients.
        num_accumulated: How many steps make one batch of an optimizer step, in whose mean ``shares`` are; all of its
            steps, unless the weighting compares several batches.
        layers: Groups of the shared parameters, for a weighting per layer.
    """

    weighting: Weighting
    shared: list[nn.Parameter]
    own: dict[str, list[nn.Parameter]]
    evidence: list[nn.Parameter] | None
    weighted_heads: bool
    scaler: Any = None
    writer: Writer = field(default_factory=Writer)
    num_accumulated: int = 1
    layers: Sequence[Sequence[nn.Parameter]] = ()
    _indices: dict[tuple[torch.device, Tasks], Tensor] = field(default_factory=dict)
    _lengths: dict[tuple[bool, Tasks], Lengths] = field(default_factory=dict)
    _like: Tensor | None = None
    _trained: Trained | None = None
    is_sharded: bool = field(init=False)
    """Whether each process holds a part alone of some parameters that train."""

    def __post_init__(self) -> None:
        self.is_sharded = any(map(is_sharded, self._all))

    def follow(self, trained: Trained) -> bool:
        """Takes what trains now; returns whether that has changed."""
        before = self._trained or (self.shared, self.own, self.evidence)
        self._trained = trained
        if same_parameters(trained, before):
            return False
        self.shared, self.own, self.evidence = trained
        self.writer, self._like, self._lengths = Writer(), None, {}
        self.is_sharded = any(map(is_sharded, self._all))
        return True

    def lengths(self, tasks: Tasks, of_heads: bool = False) -> Lengths:
        """Finds the lengths of the gradients of the tasks' heads, after those of the shared parameters if wanted."""
        key = (of_heads, tasks)
        if key not in self._lengths:
            shared = [] if of_heads else self.shared
            self._lengths[key] = Lengths([*shared, *(p for task in tasks for p in self.own[task])])
        return self._lengths[key]

    @property
    def most_share(self) -> int:
        """What the shares of a task may sum to in a step on one process."""
        return num_processes() * self.num_accumulated

    @property
    def compares(self) -> bool:
        """Whether there is anything that trains to compare the tasks' gradients by; without, known weights are kept."""
        return any(parameter.requires_grad for parameter in (self.shared if self.evidence is None else self.evidence))

    def differentiate(
        self, term: Tensor, parameters: Sequence[Tensor], weights: Tensor, keep_graph: bool = False
    ) -> Gradients:
        """Dense gradients; see :func:`mtl_lightning.backward.gradients.differentiate`."""
        if self.is_sharded and any(is_sharded(parameter) for parameter in parameters):
            found = differentiate_sharded(term, parameters, weights, keep_graph, self._all)
        else:
            found = differentiate(term, parameters, weights, keep_graph)
        return self.writer.sparse.densified(parameters, found)

    def scaled(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses times the gradient scaler's factor."""
        return {task: term if self.scaler is None else self.scaler.scale(term) for task, term in terms.items()}

    def scale(self, device: torch.device) -> Tensor:
        """The gradient scaler's factor, a scalar on the device."""
        one = torch.ones((), device=device)
        return one if self.scaler is None else self.scaler.scale(one)

    def unscaled(self, factor: Tensor) -> Tensor:
        """The trainer's factor without the gradient scaler's."""
        return factor if self.scaler is None else factor / self.scale(factor.device)

    def full_precision(self) -> AbstractContextManager[None]:
        """Turns off the forward pass's autocasting, which is no good for the algebra of gradients."""
        kind = self.like.device.type
        return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()

    def index(self, tasks: Tasks, device: torch.device) -> Tensor:
        """Indices of tasks among the K tasks [T]."""
        key = (device, tasks)
        if key not in self._indices:
            self._indices[key] = torch.tensor([self.weighting.tasks.index(task) for task in tasks], device=device)
        return self._indices[key]

    def zero(self) -> Tensor:
        """A loss of zero."""
        return torch.zeros((), dtype=self.dtype, device=self.like.device)

    def one(self) -> Tensor:
        """The derivative of a loss by itself."""
        return torch.ones((), dtype=self.dtype, device=self.like.device)

    @property
    def dtype(self) -> torch.dtype:
        """What losses are added up in: the parameters' type, float32 at least."""
        return torch.promote_types(self.like.dtype, torch.float32)

    @property
    def like(self) -> Tensor:
        """Something on the device and of the type of what trains: an encoder that is frozen whole leaves the heads."""
        if self._like is None:
            self._like = next(map(local, self._all), torch.zeros(()))
        return self._like

    @property
    def _all(self) -> Iterator[nn.Parameter]:
        return chain(self.shared, *self.own.values())
