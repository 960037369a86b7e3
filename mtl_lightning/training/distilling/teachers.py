"""Trained models that teach others."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl_lightning.checkpoints import find_checkpoint
from mtl_lightning.checkpoints.identity import identity
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.paths import expanded
from mtl_lightning.sharing.contracts import Representation
from mtl_lightning.tasks.taught import Reading


class Taught(NamedTuple):
    """What a teacher says of a batch to a task.

    Attributes:
        logits: As the student reads them.
        made: What the teacher's head read.
    """

    logits: Any
    made: Representation | None


class Teacher:
    """A trained model, frozen, and no part of the one that it teaches.

    Args:
        model: A MultiTaskModule, from a checkpoint.
        path: The checkpoint.

    Attributes:
        identity: What tells the checkpoint from another one.
        readings: By task that it teaches, how its logits are read.
    """

    def __init__(self, model: Any, path: Path) -> None:
        self.model: nn.Module = model.requires_grad_(False).eval()
        self.path = path
        self.identity: str | None = identity(str(path))["digest"]
        self.readings: dict[str, Reading] = {}

    @torch.no_grad()
    def teach(self, inputs: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Taught]:
        """What it says of some inputs, to tasks that it teaches; what they share is computed once."""
        logits, made = self.model.outputs(inputs, tasks)  # type: ignore[operator]
        return {name: Taught(self.readings[name](logits[name]), made.get(name)) for name in tasks}


def find_teachers(given: str | Mapping[str, str], tasks: Sequence[str]) -> dict[str, Path]:
    """The checkpoint that is to teach each task.

    Args:
        given: See :class:`.Distillation`.
        tasks: Names of the student's.

    Raises:
        UserError: If there is no such checkpoint or task.
    """
    if isinstance(given, str):
        return dict.fromkeys(tasks, _found(given, "model.distil.teacher"))
    for name in given:
        if name not in tasks:
            raise UserError(f"model.distil.teacher: unknown task '{name}'; {did_you_mean(name, tasks)}")
    return {name: _found(path, f"model.distil.teacher.{name}") for name, path in given.items()}


def _found(given: str, key: str) -> Path:
    return find_checkpoint(expanded(given), "run", last=False, key=key).resolve()


def load_teachers(paths: Mapping[str, Path], load: Callable[[Path], Any]) -> dict[str, Teacher]:
    """The teacher of each task; each checkpoint is loaded once.

    Args:
        paths: By task.
        load: Makes a model of a checkpoint. Random numbers that it draws are not missed afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        loaded = {path: Teacher(load(path), path) for path in dict.fromkeys(paths.values())}
    return {name: loaded[path] for name, path in paths.items()}


def check_inputs(student: Any, teacher: Teacher) -> None:
    """Makes sure that a teacher can read what is encoded for a student.

    Args:
        student: Encoder of the student.
        teacher: The teacher.

    Raises:
        UserError: If its encoder reads other inputs, has another tokenizer, or reads shorter texts.
    """
    encoder: Any = teacher.model.encoder
    ours, theirs, where = student.processor, encoder.processor, f"model.distil.teacher: {teacher.path}"
    if type(ours) is not type(theirs) or ours.inputs != theirs.inputs:
        raise UserError(f"{where} reads {' or '.join(theirs.inputs)}, this encoder {' or '.join(ours.inputs)}")
    if other := student.reads_differently(encoder.assets().files):
        raise UserError(f"{where} reads its inputs differently from this encoder: {other}; give both the same")
    longest, most = getattr(ours, "max_length", None), getattr(theirs, "max_length", None)
    if longest is None and ours.signature() != theirs.signature():
        raise UserError(f"{where} reads its inputs in another form than this encoder")
    if longest is not None and most is not None and longest > most:
        raise UserError(
            f"{where} reads up to {most} tokens, this encoder {longest}; set model.encoder.max_length to {most}"
        )
    if longest is not None and _form(ours) != _form(theirs):
        raise UserError(
            f"{where} reads words in another form than this encoder, at their first or last sub-word or as running "
            "text; give both the same model.encoder.sub_word and kind of model"
        )
    if ours.packs and not theirs.packs:
        raise UserError(f"{where} does not pack its batches; leave model.encoder.packing out")


def _form(processor: Any) -> tuple[Any, ...]:
    """Where and how words are read."""
    running = processor.plain.running
    return (processor.sub_word, *(() if running is None else running.signature))
