"""What the model computes: the sharing, which runs the encoder, a head per task, and the links between tasks."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from mtl_lightning.chains import Chain
from mtl_lightning.data import Batch
from mtl_lightning.encoders import Encoder
from mtl_lightning.errors import UserError
from mtl_lightning.inner_loops import InnerLoop
from mtl_lightning.inputs.meant import Way, not_meant
from mtl_lightning.names import names_asked
from mtl_lightning.sharing import Sharing
from mtl_lightning.tasks import Task
from mtl_lightning.tasks.writing_task import WritingTask, Written
from mtl_lightning.training import adapting
from mtl_lightning.training.joint_pass import Parts, shortened, split
from mtl_lightning.training.losses import Losses, merged, zero_of
from mtl_lightning.training.prediction import (
    decodable,
    decode,
    evaluating,
    first_alike,
    keeping,
    placed,
    placers,
    predicting,
    raw_batches,
)
from mtl_lightning.training.reading import read_by_heads
from mtl_lightning.training.restorable import RestorableModule
from mtl_lightning.training.supervision import LabelLesson, Lesson, Supervision

_warn = rank_zero_only(logging.getLogger(__name__).warning)


class Network(RestorableModule):
    """Encoder, sharing, heads, and the links between tasks.

    Attributes:
        encoder: The shared encoder.
        sharing: What stands between inputs and heads; it runs the encoder.
        heads: The tasks, by name.
        chain: How tasks read others.
        supervision: What they learn from.
        inner_loop: How they adapt to episodes; null: they do not.
        ways: What data sets give as inputs, and the tasks that they label, as far as it is known.
    """

    encoder: Encoder
    sharing: Sharing
    heads: nn.ModuleDict
    chain: Chain
    supervision: Supervision
    inner_loop: InnerLoop | None
    ways: Sequence[Way] = ()

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks, by name."""
        return dict(self.heads.items())  # type: ignore[arg-type]

    @property
    def trained_tasks(self) -> list[str]:
        """Names of the tasks whose losses train the model; the others are only predicted and evaluated."""
        return self.chain.trained

    @property
    def backbone(self) -> nn.Module:
        """The encoder, with the sharing's copies of it, where Lightning's ``BackboneFinetuning`` looks for it."""
        copies = [copy for copy, _ in self.sharing.copies()]
        return nn.ModuleList([self.encoder, *copies]) if copies else self.encoder

    @property
    def forward_modules(self) -> list[nn.Module]:
        """What a forward pass goes through."""
        return [self.encoder, self.sharing, self.heads, self.chain]

    def forward(self, inputs: dict[str, Tensor], tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Logits of ``tasks`` (null: all); what the tasks share is computed once.

        Args:
            inputs: The encoder's inputs, each [B, ...].
            tasks: Names of the tasks wanted.
        """
        wanted = list(self.heads) if tasks is None else tasks
        return self.outputs(inputs, wanted)[0]

    def outputs(self, inputs: dict[str, Tensor], tasks: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Logits of ``tasks``, and what their heads read; arguments as of ``forward``."""
        made = self._made(inputs, self.chain.read_by(tasks))
        logits = self._logits(made, tasks)
        return {task: logits[task] for task in tasks}, made

    def losses(self, parts: Parts, of_all: bool = False) -> Losses:
        """The loss of each task that trains and has labels in some batches, which are encoded together.

        Args:
            parts: The batches.
            of_all: Of a single batch: whether a task that has labels on other processes alone has a loss of zero, which
                depends on its logits. Where the model is sharded, processes must go through the same graph.
        """
        if self.inner_loop is not None and parts[0].form is not None:
            return adapting.losses(self, parts[0])
        if len(parts) == 1:
            return self._losses(parts[0], self.sharing.encode(parts[0].inputs), of_all=of_all)
        processor = self.encoder.processor
        encoded = self.sharing.encode(processor.join([part.inputs for part in parts]))
        pieces = split(encoded, [len(part.examples) for part in parts])
        lengths = [processor.num_positions(part.inputs) for part in parts]
        return merged([self._losses(*each) for each in zip(parts, pieces, lengths, strict=True)])

    def _losses(self, batch: Batch, encoded: Any, num_positions: int | None = None, of_all: bool = False) -> Losses:
        lesson = self.supervision.lesson(batch) if self.training else LabelLesson(batch)
        shares = {task: share for task, share in lesson.shares.items() if task in self.trained_tasks}
        present = [task for task, share in shares.items() if share > 0]
        trained = list(shares) if of_all else present
        wanted = [*trained, *(self.chain.with_terms if self.training else ())]
        asked = self.chain.read_by([*shares, *wanted])  # the same on a process that has no labels of some task
        representations = self.sharing.share(encoded, asked)
        if num_positions is not None:
            representations = shortened(representations, num_positions)
        made = read_by_heads(representations, self.tasks, batch.inputs)
        for line in self.chain.doubts(batch.targets) if self.training else ():
            _warn(line)
        losses, terms = self._head_losses(lesson, made, {task: shares[task] for task in trained}, wanted)
        return Losses(losses, shares, encoded, {**self.sharing.terms(), **terms} if self.training else {})

    def read(self, inputs: dict[str, Tensor], tasks: Sequence[str]) -> dict[str, Any]:
        """What the heads of some tasks read, and of those that they read, by task.

        Args:
            inputs: The encoder's, each [B, ...].
            tasks: Their names; those with terms of their own are added in training.
        """
        return self._made(inputs, self.chain.read_by([*tasks, *(self.chain.with_terms if self.training else ())]))

    def head_losses(self, batch: Batch, made: Mapping[str, Any]) -> Losses:
        """The losses of a batch's tasks from what their heads read; terms are those of the chain alone.

        Args:
            batch: Its targets count; all of its tasks train.
            made: As ``read`` returns it.
        """
        wanted = [*batch.shares, *(self.chain.with_terms if self.training else ())]
        losses, terms = self._head_losses(LabelLesson(batch), made, batch.shares, wanted)
        return Losses(losses, batch.shares, [], terms)

    def head_logits(self, made: Mapping[str, Any], task: str) -> Any:
        """Logits of a task from what heads read."""
        return self._logits(made, [task])[task]

    def _head_losses(
        self, lesson: Lesson, made: Mapping[str, Any], shares: Mapping[str, float], wanted: Sequence[str]
    ) -> tuple[dict[str, Tensor], Mapping[str, Tensor]]:
        logits = self._logits(made, wanted)
        losses = {
            task: lesson.loss(task, self._head(task), logits[task], made.get(task))
            if share > 0
            else zero_of(logits[task])
            for task, share in shares.items()
        }
        return losses, self.chain.terms(logits) if self.training else {}

    def decode(
        self, batch: Batch, tasks: Sequence[str] | None = None, left_out: Collection[str] = ()
    ) -> list[dict[str, Any]]:
        """Predictions of ``tasks`` (null: all that the inputs suffice for but those left out) on a batch."""
        return self._decode(batch.inputs, tasks, left_out)

    def written(self, batch: Batch, task: str) -> list[Written]:
        """What a task that writes makes of the examples of a batch that have a label of it; dropout is off."""
        writing = self._head(task)
        assert isinstance(writing, WritingTask)
        with evaluating(self), predicting([writing]):
            return writing.texts(self(batch.inputs, [task])[task], batch.targets[task])

    def logits(self, batch: Batch, task: str) -> Any:
        """What a task's ``forward`` makes of a batch; dropout is off."""
        with evaluating(self):
            return self(batch.inputs, [task])[task]

    def predict(
        self, columns: Mapping[str, Sequence[Any]], batch_size: int = 64, tasks: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Predictions on raw inputs, as the command ``predict`` writes them; dropout is off.

        Args:
            columns: Values of each input of the encoder, such as ``{"text": ["some jazz, please", "will it rain?"]}``
                or ``{"features": [[0.5, 1.2], [0.1, 0.9]]}``.
            batch_size: How many examples one encoder pass takes.
            tasks: Names of the tasks to predict; nothing is computed that the others alone need. Null: all that the
                inputs suffice for, but those that ``ways`` says were learnt from other kinds of inputs alone.

        Returns:
            For each example, in order, ``{task: {"label": …, "probability": …}}``; what else a task predicts is in its
            documentation.

        Raises:
            UserError: If a value is no input of the encoder, a name is no task's, the inputs suffice for no task, or
                the model has not been trained or loaded.
        """
        if not self.is_built:
            raise UserError("the model has no heads yet: train it, or load a trained one with `mtl_lightning.load`")
        wanted = None if tasks is None else names_asked("`tasks`", tasks, list(self.heads))
        found, beside = [], placers({name: self.tasks[name] for name in wanted or self.tasks})
        left_out = not_meant(self.encoder.processor, columns, self.ways)
        with evaluating(self):
            for inputs, words in raw_batches(self.encoder.processor, columns, batch_size):
                on_device = {name: tensor.to(self.device) for name, tensor in inputs.items()}
                decoded = self._decode(on_device, wanted, left_out)
                found += [placed(beside, row, of) for row, of in zip(decoded, words, strict=True)]
        return found

    def read_by_decoders(self, inputs: dict[str, Tensor], tasks: Sequence[str]) -> dict[str, dict[str, Tensor]]:
        """What the decoders of some tasks read, by task; see :meth:`.Task.outputs`.

        Args:
            inputs: The encoder's, each [B, ...].
            tasks: Names of tasks that these inputs suffice for.
        """
        return self.read_by_decoders_and_metrics(inputs, tasks)[0]

    def read_by_decoders_and_metrics(
        self, inputs: dict[str, Tensor], tasks: Sequence[str]
    ) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """What decoders read, and logits, each by task; arguments as of ``read_by_decoders``."""
        representations = self._made(inputs, self.chain.read_by(tasks))
        logits = self._logits(representations, tasks)
        masks = {name: representations[self.chain.read_by([name])[-1]].mask for name in tasks}
        return {name: self.tasks[name].outputs(logits[name], masks[name]) for name in tasks}, logits

    def can_predict(self, inputs: dict[str, Tensor]) -> list[str]:
        """The tasks that inputs suffice for, in their order."""
        return list(decodable(self.tasks, self._made(inputs, self.chain.readers), self.chain))

    def _decode(
        self, inputs: dict[str, Tensor], tasks: Sequence[str] | None, left_out: Collection[str]
    ) -> list[dict[str, Any]]:
        wanted = [task for task in self.heads if task not in left_out] if tasks is None else tasks
        with predicting(self.tasks.values()):
            representations = self._made(inputs, self.chain.read_by(wanted))
        of_tasks = decodable(self.tasks, representations, self.chain, tasks)
        if tasks is None:
            of_tasks = {name: task for name, task in of_tasks.items() if name in wanted}
        if not of_tasks:  # says what the first of all tasks lacks
            decodable(self.tasks, representations, self.chain, list(self.heads))
        masks = {name: representations[self.chain.read_by([name])[-1]].mask for name in of_tasks}
        firsts = first_alike(of_tasks)
        asked = {name: task for name, task in of_tasks.items() if firsts[name] == name}
        with predicting(self.tasks.values()):
            rows = decode(asked, self._logits(representations, asked), masks)
        return [{name: dict(row[firsts[name]]) for name in of_tasks} for row in rows]

    def _made(self, inputs: dict[str, Tensor], tasks: Sequence[str]) -> dict[str, Any]:
        with keeping(self.encoder, any(self._head(task).goes_on for task in tasks)):
            return read_by_heads(self.sharing(inputs, tasks), self.tasks, inputs)

    def _head(self, task: str) -> Task:
        return self.heads[task]  # type: ignore[return-value]

    def _logits(self, representations: Mapping[str, Any], tasks: Iterable[str]) -> dict[str, Tensor]:
        """Logits of some tasks, and of those that they read."""
        return self.chain(self.tasks, representations, tasks)  # type: ignore[no-any-return]
