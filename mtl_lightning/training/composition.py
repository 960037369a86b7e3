"""What a model is made of: which parameters serve which tasks, and what a forward pass costs for each of them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mtl_lightning.sharing.observing import Part
from mtl_lightning.training.network import Network
from mtl_lightning.training.prediction import decodable, evaluating
from mtl_lightning.training.reading import read_by_heads

Inputs = Mapping[str, Tensor]
"""An encoder's inputs, each [B, ...]."""


class Size(NamedTuple):
    """How many parameters there are.

    Attributes:
        all: Of them.
        trained: Those that train.
    """

    all: int
    trained: int

    @classmethod
    def of(cls, parameters: Iterable[nn.Parameter]) -> "Size":
        """Counts each parameter once."""
        each = {id(parameter): parameter for parameter in parameters}.values()
        return cls(sum(p.numel() for p in each), sum(p.numel() for p in each if p.requires_grad))


class Composition:
    """The parts of a model by their readers.

    Args:
        model: Its heads are built.

    Attributes:
        tasks: Names of the K tasks.
        shared: Parts that several tasks read, those of a single task's model too.
        total: All parameters, those of the weighting too.
        is_chained: Whether tasks read others, and with them what these have for themselves.
    """

    def __init__(self, model: Network) -> None:
        self.tasks = list(model.tasks)
        self._chain = model.chain
        self._parts = list(model.sharing.parts())
        links = {task: model.chain.link(task).parameters() for task in self.tasks}
        self._heads = {task: [*head.parameters(), *links[task]] for task, head in model.tasks.items()}
        self.shared = [part for part in self._parts if len(part.tasks) > 1 or len(self.tasks) == 1]
        self.total = Size.of(model.parameters())
        self.is_chained = any(len(model.chain.needed([task])) > 1 for task in self.tasks)

    @property
    def is_one_trunk(self) -> bool:
        """Whether all tasks read the same, and have nothing but their heads for themselves."""
        return len(self._parts) == 1 and set(self._parts[0].tasks) == set(self._chain.readers)

    def own(self, task: str) -> Size:
        """What a task has alone, without its head."""
        return Size.of(p for part in self._parts if part not in self.shared for p in _of(part, task))

    def head(self, task: str) -> Size:
        """A task's own head, with what links it to tasks that it reads."""
        return Size.of(self._heads[task])

    def serving(self, task: str) -> Size:
        """All that a task reads, its head, and the same of the tasks that it reads."""
        names = self._chain.needed([task])
        heads = [parameter for name in names for parameter in self._heads[name]]
        return Size.of([*heads, *(p for name in names for part in self._parts for p in _of(part, name))])


def _of(part: Part, task: str) -> Sequence[nn.Parameter]:
    return part.parameters if task in part.tasks else ()


class ForwardCost(NamedTuple):
    """Floating-point operations of a forward pass, an example.

    Products of matrices and convolutions count, as 2 for each multiplication; the rest is small.

    Attributes:
        together: For all tasks at once; null: not known.
        alone: For a task that is asked for alone, by name, as far as known.
    """

    together: float | None
    alone: Mapping[str, float]


def forward_cost(model: Network, examples: Sequence[Inputs], seconds: float | None = None) -> ForwardCost:
    """Counts what a model computes, in evaluation.

    Args:
        model: Its heads are built.
        examples: Inputs of a few examples of each data set, on the model's device. All tasks together, and each that
            can, read the first; a task that labels words reads the first that has words.
        seconds: Time that may be spent; null: any. Tasks alone are left out where they would take longer.
    """
    costs: dict[str, float] = {}
    with evaluating(model):
        begun = time.perf_counter()
        together = _cost(model, examples[0], list(model.tasks)) if examples else None
        spent = time.perf_counter() - begun
        if seconds is None or spent * (1 + len(model.tasks)) <= seconds:
            for task in model.tasks:
                found = (_cost(model, inputs, [task]) for inputs in examples)
                if (cost := next((cost for cost in found if cost is not None), None)) is not None:
                    costs[task] = cost
    return ForwardCost(together, costs)


def _cost(model: Network, inputs: Inputs, tasks: Sequence[str]) -> float | None:
    """Operations an example; null where the inputs suffice for none of the tasks."""
    counter = FlopCounterMode(display=False)
    with counter:
        made = model.sharing(inputs, model.chain.read_by(tasks))
        representations = read_by_heads(made, model.tasks, inputs)
        found = decodable(model.tasks, representations, model.chain)
        readable = [task for task in tasks if task in found]
        model.chain(model.tasks, representations, readable)
    number = len(inputs.get("sequences", next(iter(inputs.values()))))
    return counter.get_total_flops() / number if readable else None
