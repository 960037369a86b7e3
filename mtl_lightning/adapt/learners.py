"""Ways to learn a task from a few examples."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import AdamW
from torch.utils._pytree import tree_map

from mtl_lightning.adapt.examples import Examples
from mtl_lightning.inner_loops import InnerLoop
from mtl_lightning.tasks import SequenceClassification, Task
from mtl_lightning.tasks.prototypical import means_by_label
from mtl_lightning.training.adapting import adaptable
from mtl_lightning.training.episode_passes import Caller, pass_of
from mtl_lightning.training.episode_sets import loss_on
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.training.prediction import evaluating

Values = Mapping[str, Tensor]
"""Parameters by their names in the model."""

SCALES = (1, 2, 4, 8, 16, 32, 64)
"""By what squared distances to the classes' means are multiplied, relative to their mean between two examples."""

_USUAL_SCALE = 8
_STEPS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700)
"""After which numbers of steps training may end, below its longest."""
_LEARNT = 1e-3
"""The loss of examples that need no further step."""


class Learner(ABC):
    """Learns from some of the examples of a task.

    Args:
        model: With the task.
        name: Of the task.
        examples: All that there are.

    Attributes:
        unit: What is chosen, in words.
        usual: What is chosen where nothing can be left out.
        folds: Into how many parts examples are divided at most to choose by.
    """

    unit = "steps"
    usual: int
    folds = 5

    def __init__(self, model: MultiTaskModule, name: str, examples: Examples) -> None:
        self.model = model
        self.name = name
        self.examples = examples
        self.task: Task = model.tasks[name]

    @abstractmethod
    def learnt(self, rows: Sequence[int]) -> Iterator[tuple[int, Values]]:
        """Parameters learnt from some examples, each with its choice, such as a number of steps, from small to large.

        Args:
            rows: Numbers of examples; each label occurs.
        """

    @abstractmethod
    def outputs(self, values: Values, examples: Examples, rows: Sequence[int]) -> tuple[Any, Tensor]:
        """Logits and targets of some examples.

        Args:
            values: Parameters that were learnt; the others are the model's.
            examples: Those that the learner has, or others.
            rows: Their numbers.
        """


class HeadLearner(Learner):
    """A head on the encoder as it is. One that classifies whole examples starts from the means of the classes.

    Args:
        model: As of :class:`Learner`.
        name: As of :class:`Learner`.
        examples: As of :class:`Learner`.
        embedding: What is put behind features before means are taken; null: nothing.
        steps: Longest training; 0: the means alone.
        lr: Learning rate of AdamW.
    """

    folds = 50

    def __init__(
        self,
        model: MultiTaskModule,
        name: str,
        examples: Examples,
        embedding: nn.Linear | None,
        steps: int,
        lr: float,
    ) -> None:
        super().__init__(model, name, examples)
        self.embedding = embedding
        self.has_means = isinstance(self.task, SequenceClassification) and isinstance(self.task.head, nn.Linear)
        self.steps, self.lr = steps, lr
        self.unit, self.usual = ("steps", 0 if self.has_means else min(20, steps)) if steps else ("scale", _USUAL_SCALE)
        self._read: dict[Examples, Any] = {}

    def learnt(self, rows: Sequence[int]) -> Iterator[tuple[int, Values]]:
        features, targets = self._features(self.examples, rows), self.examples.targets[list(rows)]
        if not self.steps:
            for scale in SCALES:
                yield scale, self._means(features, targets, scale)
            return
        begin = dict(self.task.named_parameters())
        start = self._means(features, targets, _USUAL_SCALE) if self.has_means else self._named(begin)

        def loss(values: Values) -> Tensor:
            return self.task.loss(functional_call(self.task, self._bare(values), (features,)), targets)

        yield from descent(start, loss, self.steps, self.lr)

    def outputs(self, values: Values, examples: Examples, rows: Sequence[int]) -> tuple[Any, Tensor]:
        with torch.no_grad():
            logits = functional_call(self.task, self._bare(values), (self._features(examples, rows),))
        return logits, examples.targets[list(rows)]

    def _features(self, examples: Examples, rows: Sequence[int]) -> Any:
        """What the head reads of some examples; it is computed once for all."""
        number, index = len(examples), list(rows)
        if examples not in self._read:
            with evaluating(self.model):
                read = [self.model.outputs(each, [self.name])[1][self.name] for each in examples.pieces(range(number))]
            self._read[examples] = joined(read)

        def some(value: Any) -> Any:
            return value[index] if isinstance(value, Tensor) and value.shape[:1] == (number,) else value

        return tree_map(some, self._read[examples])

    def _means(self, features: Any, targets: Tensor, scale: float) -> dict[str, Tensor]:
        """A linear layer whose logits are the negative squared distances to the classes' means, times a scale."""
        present = targets >= 0
        pooled = features.pooled[present].float()
        embedded = pooled if self.embedding is None else self.embedding(pooled)
        means = means_by_label(embedded.detach(), targets[present])
        between_two = 2 * embedded.detach().var(0).sum() if len(embedded) > 1 else embedded.new_ones(())
        by = scale / between_two.clamp(min=1e-12)
        weight, bias = 2 * means, -means.square().sum(-1)
        if self.embedding is not None:
            bias = bias + weight @ self.embedding.bias.detach()
            weight = weight @ self.embedding.weight.detach()
        return self._named({"head.weight": by * weight, "head.bias": by * bias})

    def _named(self, values: Values) -> dict[str, Tensor]:
        return {f"heads.{self.name}.{key}": value.detach().clone() for key, value in values.items()}

    def _bare(self, values: Values) -> dict[str, Tensor]:
        return {key.removeprefix(f"heads.{self.name}."): value for key, value in values.items()}


class WholeLearner(Learner):
    """All that may change in a model: a head and an adapter by AdamW, or what an inner loop adapts, by its steps.

    Args:
        model: As of :class:`Learner`.
        name: As of :class:`Learner`.
        examples: As of :class:`Learner`.
        steps: Longest training; null: that of the loop, which there is then.
        lr: Learning rate of AdamW.
        loop: The inner loop; null: none, and the head starts as that of :class:`HeadLearner`.
    """

    def __init__(
        self,
        model: MultiTaskModule,
        name: str,
        examples: Examples,
        steps: int | None,
        lr: float,
        loop: InnerLoop | None = None,
    ) -> None:
        super().__init__(model, name, examples)
        self.loop, self.lr = loop, lr
        self.head = HeadLearner(model, name, examples, None, 1, lr)
        self.steps: int = steps or loop.eval_steps  # type: ignore[union-attr]
        self.usual = min(self.steps, 10) if loop is None else self.steps
        of_all = {key: value for key, value in adaptable(model).items() if value.requires_grad}
        self.values: Values = of_all if loop is None else loop.chosen(adaptable(model))

    def learnt(self, rows: Sequence[int]) -> Iterator[tuple[int, Values]]:
        with torch.set_grad_enabled(self.loop is None):  # where heads alone adapt, what they read is a constant
            through = pass_of(self.model, self.examples.batch, self.values)
        loss = loss_on(through, torch.tensor(list(rows)), self.name)
        start = {key: value.detach().clone() for key, value in self.values.items()}
        if self.loop is None:
            start |= next(self.head.learnt(rows))[1]
            yield from descent(start, loss, self.steps, self.lr)
            return
        loop, values = self.loop, start
        longest, loop.eval_steps = loop.eval_steps, 1
        try:
            for step in range(1, self.steps + 1):
                values = loop.adapted(values, loss)
                yield step, values
        finally:
            loop.eval_steps = longest

    def outputs(self, values: Values, examples: Examples, rows: Sequence[int]) -> tuple[Any, Tensor]:
        model, name = Caller(self.model), self.name
        with torch.no_grad():
            logits = joined([model.at(values, "__call__", each, [name])[name] for each in examples.pieces(rows)])
        return logits, examples.targets[list(rows)]


def joined(pieces: Sequence[Any]) -> Any:
    """What was made of some examples at a time, for all of them: tensors in tuples and dicts, one behind the other."""
    first, *rest = pieces
    return tree_map(
        lambda value, *more: torch.cat([value, *more]) if isinstance(value, Tensor) else value, first, *rest
    )


def descent(start: Values, loss: Callable[[Values], Tensor], steps: int, lr: float) -> Iterator[tuple[int, Values]]:
    """What AdamW comes to, from the start on, after some numbers of steps. It stops once the loss is as good as none.

    Args:
        start: Parameters.
        loss: A function of them.
        steps: The most.
        lr: Learning rate.
    """
    values = {key: value.detach().clone().requires_grad_() for key, value in start.items()}
    optimizer, shown = AdamW(list(values.values()), lr=lr), {step for step in _STEPS if step < steps} | {steps}
    yield 0, {key: value.detach().clone() for key, value in values.items()}
    is_learnt = False
    for step in range(1, steps + 1):
        if not is_learnt:
            optimizer.zero_grad()
            found = loss(values)
            is_learnt = float(found.detach()) < _LEARNT
            torch.autograd.backward(found)
            optimizer.step()
        if step in shown:
            yield step, {key: value.detach().clone() for key, value in values.items()}
