"""A model that learns from others: labels, teachers' predictions and features are one loss of each task."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from zlib import crc32

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from torch import Tensor, nn

from mtl_lightning.data import Batch
from mtl_lightning.errors import UserError
from mtl_lightning.sharing.contracts import Representation
from mtl_lightning.tasks import Task
from mtl_lightning.training.distilling.features import features_loss, width_read
from mtl_lightning.training.distilling.settings import Distillation
from mtl_lightning.training.distilling.teachers import Taught, Teacher, check_inputs, find_teachers, load_teachers
from mtl_lightning.training.episodes import label_loss
from mtl_lightning.training.from_checkpoint import load_as

_KEY = "teachers"
_warn = rank_zero_only(logging.getLogger(__name__).warning)


class Distilled(nn.Module):
    """Supervision by teachers beside labels; see :class:`mtl_lightning.training.supervision.Supervision`.

    Parameters are the maps of features alone: teachers are no part of the model, its checkpoints or its optimizer.

    Args:
        settings: How it learns.
        model: The class that teachers are made of.

    Attributes:
        maps: By task, from the student's features to the teacher's.
    """

    def __init__(self, settings: Distillation, model: type[Any]) -> None:
        super().__init__()
        self.settings = settings
        self.maps = nn.ModuleDict()
        self._model = model
        self._teachers: dict[str, Teacher] | None = None

    def start(self, module: Any) -> None:
        """Loads the teachers.

        Raises:
            UserError: If there is none, or one cannot teach a task that it is given for.
        """
        if self._teachers is None:
            paths = find_teachers(self.settings.teacher, module.trained_tasks)
            found = load_teachers(paths, partial(load_as, self._model, option=_NOT_TRUSTED))
            self._teachers = self._chosen(module, found)
            if self.settings.features:
                self._add_maps(module, self._teachers)
            for teacher in self._each():
                teacher.model.to(next(module.parameters()))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Distilled":
        """Brings the teachers along to a device, or to a precision."""
        for teacher in self._each():
            teacher.model._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        """A copy has no teachers, until it trains."""
        return {**self.__dict__, "_teachers": None}

    @property
    def modules_of_its_own(self) -> Sequence[nn.Module]:
        """The maps of features."""
        return [self.maps]

    def lesson(self, batch: Batch) -> "Lesson":
        """What a batch teaches; each teacher reads it once."""
        teachers = self._teachers or {}
        tasks = [name for name in teachers if batch.soft_shares.get(name, 0) > 0]
        taught: dict[str, Taught] = {}
        for teacher in dict.fromkeys(teachers[name] for name in tasks):
            taught |= teacher.teach(batch.inputs, [name for name in tasks if teachers[name] is teacher])
        return Lesson(self, batch, taught)

    def own_parameters(self, task: str) -> Sequence[nn.Parameter]:
        """Its map's."""
        return list(self.maps[task].parameters()) if task in self.maps else []

    # -- checkpoints -------------------------------------------------------------------------------------------------
    def identities(self) -> dict[str, Any]:
        """What tells the teacher of each task from another one."""
        return {_KEY: {name: teacher.identity for name, teacher in (self._teachers or {}).items()}}

    def compare(self, saved: Mapping[str, Any]) -> None:
        """Says if there are other teachers than before."""
        was, now = saved.get(_KEY, {}), self.identities()[_KEY]
        if changed := [name for name in now if name in was and was[name] != now[name]]:
            _warn(
                f"model.distil.teacher: that of '{changed[0]}' is another checkpoint than before, so that the resumed "
                "run is not the one that an uninterrupted one would be"
            )

    # -- start ---------------------------------------------------------------------------------------------------------
    def _each(self) -> list[Teacher]:
        return list(dict.fromkeys((self._teachers or {}).values()))

    def _chosen(self, module: Any, found: Mapping[str, Teacher]) -> dict[str, Teacher]:
        """Those that teach a task; the others are named once, or refused where the task was given one by name."""
        by_name, alone, chosen = not isinstance(self.settings.teacher, str), {}, {}
        for teacher in dict.fromkeys(found.values()):
            check_inputs(module.encoder, teacher)
        for name, teacher in found.items():
            task: Task = module.tasks[name]
            try:
                teacher.readings[name] = _reading(name, task, teacher)
            except UserError as error:
                if by_name:
                    raise UserError(f"model.distil.teacher.{name}: {error}") from error
                alone[name] = str(error)
            else:
                task.is_taught, chosen[name] = True, teacher
        if not chosen:
            name, reason = next(iter(alone.items()))
            raise UserError(f"model.distil.teacher: it can teach none of the tasks; '{name}': {reason}")
        for name, reason in alone.items():
            _warn(f"task '{name}' learns from labels alone: {reason}")
        rank_zero_info("\n".join(["Learns from teachers:", *(f"  {n}  {t.path}" for n, t in chosen.items())]))
        return chosen

    def _add_maps(self, module: Any, teachers: Mapping[str, Teacher]) -> None:
        like = next(module.parameters())
        for name, teacher in teachers.items():
            models: list[Any] = [module, teacher.model]
            reads = all(name in model.chain.readers for model in models)
            if name in self.maps or not reads:  # of a model that is trained again, or without features
                continue
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed((torch.initial_seed() + crc32(f"features of {name}".encode())) % 2**63)
                self.maps[name] = nn.Linear(width_read(module), width_read(teacher.model)).to(like)


class Lesson:
    """What one batch teaches: labels, and what teachers say of it.

    Args:
        distilled: Says how they are joined.
        batch: The batch.
        taught: By task.
    """

    def __init__(self, distilled: Distilled, batch: Batch, taught: Mapping[str, Taught]) -> None:
        self._distilled = distilled
        self._batch = batch
        self._taught = taught

    @property
    def shares(self) -> Mapping[str, float]:
        """Those of the soft losses, where there is one: examples without labels count."""
        return {**self._batch.shares, **self._batch.soft_shares}

    def loss(self, name: str, task: Task, logits: Any, made: Representation | None) -> Tensor:
        """The joined loss; the hard one is a mean over labels, and so has another share in the step's."""
        if name not in self._taught:
            return label_loss(task, logits, self._batch.targets[name], self._batch)
        options, taught = self._distilled.settings, self._taught[name]
        mask = made.mask if task.level == "tokens" and made is not None else None
        total = options.weight * task.soft_loss(logits, taught.logits, mask, options.temperature)
        if name in self._distilled.maps:
            total = total + options.features * features_loss(task, self._distilled.maps[name], made, taught.made)
        share = self._batch.shares.get(name, 0.0) / self._batch.soft_shares[name]
        if options.weight < 1 and share > 0:
            total = total + (1 - options.weight) * share * task.loss(logits, self._batch.targets[name])
        return total


_NOT_TRUSTED = "predict with it and --trust_classes {}; as a teacher, take a run of your own"


def _reading(name: str, task: Task, teacher: Teacher) -> Any:
    tasks: Mapping[str, Task] = teacher.model.tasks  # type: ignore[assignment]
    if name not in tasks:
        raise UserError(f"{teacher.path} has no such task; it has {', '.join(tasks)}")
    return task.read_teacher(tasks[name])
