"""What a sharing tells of itself: which tasks read which part of it, and how much of each expert they use."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

UNUSED = 0.01
"""What a task takes of an expert that it does not use, at most."""


class Part(NamedTuple):
    """Parameters with the same readers.

    Attributes:
        name: What they are, as a table of the model calls them: ``encoder``, ``experts``, ``stages of a + b``.
        parameters: The parameters; each of the model is in one part.
        tasks: Names of the tasks that read them.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    tasks: Sequence[str]


class ExpertUse(nn.Module):
    """How much of each expert each task takes, as noted in training; it stays on the device and waits for nothing.

    Args:
        experts: For each expert, by a name of letters, digits, ``_`` and ``-``, the tasks that may read it: all, or the
            one whose own it is.
        name: Of these gates where a sharing has several, such as ``level_1``.
        own: Experts that may serve one task alone, though others may read them: a task's own, or such as compute
            nothing for those who do not choose them.
        balanced: Whether each expert should be used, and by several tasks where it is not in ``own``: if not, nobody is
            warned of those that are not.

    Attributes:
        experts: The tasks by expert.
        name: As above.
        own: As above.
        balanced: As above.
        tasks: Names of the tasks that may read any of them.

    >>> use = ExpertUse({"shared_0": ["a", "b"], "a_0": ["a"], "b_0": ["b"]})
    >>> use.note("a", torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    >>> use.experts_of("a"), use.mean("a")
    (['shared_0', 'a_0'], tensor([0.7500, 0.2500]))
    """

    def __init__(
        self,
        experts: Mapping[str, Sequence[str]],
        name: str = "",
        own: Iterable[str] = (),
        balanced: bool = True,
    ) -> None:
        super().__init__()
        self.experts = {expert: tuple(tasks) for expert, tasks in experts.items()}
        self.name, self.own, self.balanced = name, tuple(own), balanced
        self.tasks = tuple(dict.fromkeys(task for tasks in self.experts.values() for task in tasks))
        self._newest: dict[str, tuple[Tensor, Tensor, Tensor | None]] = {}
        self._sums: dict[str, Tensor] = {}
        self._batches: dict[str, int] = {}

    def experts_of(self, task: str) -> list[str]:
        """The experts that a task may read, in order."""
        return [expert for expert, tasks in self.experts.items() if task in tasks]

    @torch.no_grad()
    def note(self, task: str, weights: Tensor, mask: Tensor | None = None, of_entropy: Tensor | None = None) -> None:
        """Takes a task's weights for a batch; in evaluation, nothing.

        Args:
            task: Its name.
            weights: Of the experts that it may read, in their order, not negative and 1 in sum [..., E]; zero where an
                expert was not chosen. Any dimensions before: examples, positions, or none.
            mask: True where ``weights`` are those of a real position [...].
            of_entropy: What the entropy is that of, where ``weights`` are shares of what a router chose [..., E].
        """
        if not self.training:
            return
        newest = weights.detach().float()
        real = None if mask is None else mask.unsqueeze(-1).to(newest)
        self._newest[task] = newest, newest if of_entropy is None else of_entropy.detach().float(), real
        mean = _mean(newest, real)
        self._sums[task] = self._sums[task].to(mean) + mean if task in self._sums else mean
        self._batches[task] = self._batches.get(task, 0) + 1

    def mean(self, task: str) -> Tensor | None:
        """What a task took of its experts since the last ``reset`` [E], the mean over batches; None: it had none."""
        return self._sums[task] / self._batches[task] if task in self._sums else None

    def newest(self, task: str) -> Tensor | None:
        """What a task took of its experts in the newest batch [E]; None: there was none."""
        if task not in self._newest:
            return None
        weights, _, real = self._newest[task]
        return _mean(weights, real)

    def entropy(self, task: str) -> Tensor | None:
        """The entropy of a task's weights in nats, the mean over the newest batch, a scalar; None: there was none."""
        if task not in self._newest:
            return None
        _, weights, real = self._newest[task]
        return _mean(torch.special.entr(weights).sum(-1, keepdim=True), real).squeeze(0)

    def reset(self) -> None:
        """Begins a new mean."""
        self._sums.clear()
        self._batches.clear()

    def counted(self) -> dict[str, tuple[list[float], int]]:
        """Of what ``mean`` is made so far, for a checkpoint: by task the sum [E] and the number of batches."""
        return {task: (total.tolist(), self._batches[task]) for task, total in self._sums.items()}

    def count_on(self, counted: Mapping[str, tuple[Sequence[float], int]]) -> None:
        """Goes on from what another one had ``counted``."""
        self._sums = {task: torch.tensor(total) for task, (total, _) in counted.items()}
        self._batches = {task: number for task, (_, number) in counted.items()}


def _mean(values: Tensor, real: Tensor | None) -> Tensor:
    """Over all dimensions but the last [E], of what is real [..., 1]; null: all is."""
    if real is None:
        return values.reshape(-1, values.shape[-1]).mean(0)
    return (values * real).reshape(-1, values.shape[-1]).sum(0) / real.sum().clamp(min=1)


class Observations(NamedTuple):
    """What a sharing has learned of its tasks.

    Attributes:
        use: How much of each expert each task takes, one for each level of gates.
        embeddings: One vector a task [K, E], in the order of the sharing's tasks, detached; None: it has none.
    """

    use: Sequence[ExpertUse] = ()
    embeddings: Tensor | None = None


def use_within(sharing: nn.Module) -> list[ExpertUse]:
    """All that a sharing notes of its experts."""
    return [module for module in sharing.modules() if isinstance(module, ExpertUse)]


def parts_by_reader(
    encoder: Iterable[nn.Parameter], sharing: nn.Module, own: Mapping[str, Sequence[nn.Parameter]]
) -> list[Part]:
    """The encoder, the modules of a sharing, and what each task has for its own.

    Args:
        encoder: The encoder's parameters.
        sharing: Its parts are named after its attributes.
        own: Of each task, what it alone trains; all else is read by every task.
    """
    placed = {id(parameter) for parameters in own.values() for parameter in parameters}
    shared: dict[str, list[nn.Parameter]] = {}
    for name, parameter in [*(("encoder", each) for each in encoder), *sharing.named_parameters()]:
        if id(parameter) not in placed:
            placed.add(id(parameter))
            shared.setdefault(name.split(".")[0].strip("_").replace("_", " "), []).append(parameter)
    return [Part(name, parameters, tuple(own)) for name, parameters in shared.items()] + [
        Part(f"of {task} alone", parameters, (task,)) for task, parameters in own.items() if parameters
    ]
