"""Support and query sets of a batch of episodes, and the losses on them as functions of parameters."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from mtl_lightning.backward.gradients import add_terms
from mtl_lightning.data import Batch
from mtl_lightning.errors import UserError
from mtl_lightning.inner_loops import Loss, Parameters
from mtl_lightning.training.episode_passes import WholePass, pass_of


class Sets(NamedTuple):
    """The sets of one episode, or of E episodes at once.

    Attributes:
        support: How examples of the support set pass through the model, and their rows [B], or [E, B]; several where
            several data sets give it.
        query: Rows of the query set [B], or [E, B].
    """

    support: Sequence[tuple[WholePass, Tensor]]
    query: Tensor

    @property
    def is_one(self) -> bool:
        """Whether these are the sets of one episode."""
        return self.query.ndim == 1

    @property
    def num_shots(self) -> int:
        """Examples of a support set, or of that part of it which a data set gives."""
        return self.support[0][1].shape[-1]


class EpisodeSets:
    """The episodes of a batch.

    Args:
        module: The MultiTaskModule.
        batch: Of episodes.
        parameters: Those that adapt, by name.

    Attributes:
        through: How the examples of query sets pass through the model.

    Raises:
        UserError: If the batch cannot be cut into episodes.
    """

    def __init__(self, module: Any, batch: Batch, parameters: Parameters) -> None:
        assert batch.form is not None, "the batch has episodes"
        self._form = batch.form
        self.through = pass_of(module, batch, parameters)
        self._others = [pass_of(module, each, parameters) for each in batch.supports.values()]

    def __call__(self, at_once: bool) -> Iterator[Sets]:
        """The sets of each episode, or those of all at once."""
        own = _rows(self.through, self._form.size)
        supports = [(each, _rows(each, len(each.batch.examples) // len(own))) for each in self._others]
        supports = supports or [(self.through, own[:, : self._form.support])]
        queries = own[:, self._form.support :]
        if at_once:
            yield Sets(supports, queries)
            return
        for number, query in enumerate(queries):
            yield Sets([(each, rows[number]) for each, rows in supports], query)

    def support_loss(self, sets: Sets, task: str) -> Loss:
        """The loss that the model adapts by, for a task's query set: the mean of those of tasks and data sets."""
        tasks = self._form.support_tasks or (task,)
        parts = [loss_on(each, rows, t) for each, rows in sets.support for t in tasks if t in each.batch.targets]
        assert parts, "the data module refuses support sets without labels"
        return parts[0] if len(parts) == 1 else lambda values: torch.stack([part(values) for part in parts]).mean(0)


def loss_on(through: WholePass, rows: Tensor, task: str, terms: dict[str, Tensor] | None = None) -> Loss:
    """A task's loss on some rows, or on those of each of E episodes [E], as a function of parameters.

    Args:
        through: How they pass through the model.
        rows: Their numbers [B], or [E, B]; parameters are then those of each episode [E, ...].
        task: Name of the task.
        terms: What loss terms of sharing and chain are added to.
    """
    read, targets = through.read(rows), through.batch.targets[task][rows]

    def one(values: Parameters, read: Any, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        made = through.losses(values, read, targets, task)
        return made.losses[task], dict(made.terms)

    def at(parameters: Parameters) -> Tensor:
        loss: Tensor
        loss, found = mapped(one, rows)(dict(parameters), read, targets)
        if terms is not None:
            add_terms(terms, {name: term.sum() for name, term in found.items()})
        return loss

    return at


def mapped(function: Callable[..., Any], rows: Tensor) -> Callable[..., Any]:
    """A function of an episode, or the same of all that adapt at once."""
    if rows.ndim == 1:
        return function

    def at_once(*arguments: Any) -> Any:
        try:
            return torch.vmap(function, randomness="different")(*arguments)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            raise UserError(
                "model.inner_loop.vectorized: the model cannot work on several episodes at once "
                f"({str(error).splitlines()[0]}); set it to false"
            ) from error

    return at_once


def of_each(parameters: Parameters, sets: Sets) -> dict[str, Tensor]:
    """Parameters for each of the episodes that adapt at once."""
    return {name: p if sets.is_one else p.expand(len(sets.query), *p.shape) for name, p in parameters.items()}


def apart(logits: Any, targets: Tensor, sets: Sets) -> Iterator[tuple[Any, Tensor]]:
    """Logits and targets of each episode."""
    if sets.is_one:
        yield logits, targets
        return
    for number in range(len(sets.query)):
        yield tree_map(lambda value: value[number], logits), targets[number]  # noqa: B023 - called at once


def _rows(through: WholePass, size: int) -> Tensor:
    """Numbers of a batch's rows, by episode [E, size]."""
    rows = torch.arange(len(through.batch.examples), device=next(iter(through.batch.inputs.values())).device)
    return rows.view(-1, size)
