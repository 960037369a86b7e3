"""``python -m mtl_lightning adapt``: from a checkpoint and a few examples to a checkpoint with one task more."""

import logging
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from mtl_lightning.adapt.choosing import Choice, choose, learn
from mtl_lightning.adapt.curve import Point, curve, shots_of
from mtl_lightning.adapt.learners import HeadLearner, Learner, WholeLearner
from mtl_lightning.adapt.model import Begun, begin
from mtl_lightning.adapt.options import HELP, ON_FEATURES, parsed
from mtl_lightning.adapt.plot import write_plot
from mtl_lightning.checkpoints import find_checkpoint
from mtl_lightning.cli.outputs import check_output
from mtl_lightning.cli.quiet import quieten_libraries
from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded
from mtl_lightning.stopping import SIGNALS
from mtl_lightning.strict_json import to_json
from mtl_lightning.tasks import SequenceClassification
from mtl_lightning.terminal import say
from mtl_lightning.terminal.commands import run_command
from mtl_lightning.terminal.console import Console
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.writing import write_whole


def run(arguments: Sequence[str]) -> int:
    """Runs ``adapt`` and prints a mistake in the input as one line.

    Args:
        arguments: After ``adapt``.

    Returns:
        The exit status: 0; 2 for a mistake in the input.
    """
    return run_command(arguments, HELP, partial(_adapt, arguments))


def _adapt(arguments: Sequence[str]) -> int:
    quieten_libraries()
    given = parsed(arguments)
    path = find_checkpoint(expanded(given.ckpt_path, "--ckpt_path"), given.name, last=False)
    report = _checked_outputs(path, given)
    torch.manual_seed(given.seed)
    with _nothing_taken_over_is_said():
        begun = begin(path, given)
    learner, generator = _learner(begun, given), torch.Generator().manual_seed(given.seed)
    shots = shots_of(begun.examples, begun.judged, given.shots)
    everything = begun.examples.labelled
    choice = choose(learner, everything, generator)
    begun.model.load_state_dict({**begun.model.state_dict(), **learn(learner, everything, choice.at)})
    model = begun.model if given.by in ON_FEATURES else begun.model.merge(given.task)
    with SIGNALS.deferred("Stopping once the checkpoint is written"):
        model.save(given.output)
    say(_said(path, given, begun, model, learner, choice))
    points = list(curve(learner, begun.judged, shots, given.draws, generator))
    if points:
        console = Console()
        title = f"{given.task}, by {given.by}: mean of {given.draws} draws, and its 95 % interval"
        console.print(title, style="table.title", soft_wrap=True)
        console.print(_table(learner, points))
        if find_spec("matplotlib") is not None:
            write_plot(report.with_suffix(".png"), points, learner.task.main_metric, title)
    _write(report, given, begun, learner, choice, points)
    return 0


def _checked_outputs(path: Path, given: Namespace) -> Path:
    """Where the report goes; nothing that is read is written over.

    Raises:
        UserError: If it would be, or a file cannot be written.
    """
    report = Path(given.output).with_suffix(".json")
    for output in (Path(given.output), report):
        for file in (path, given.data, given.test):
            if file is not None and Path(file).exists() and output.exists() and output.samefile(file):
                raise UserError(f"--output: {output} would be written, which is read from; give another name")
        check_output(str(output))
    return report


@contextmanager
def _nothing_taken_over_is_said() -> Iterator[None]:
    """Here, the new model takes all of the trained one."""
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _learner(begun: Begun, given: Namespace) -> Learner:
    model, name, examples = begun.model, given.task, begun.examples
    if given.by == "lora":
        return WholeLearner(model, name, examples, given.steps, given.lr)
    if given.by == "inner_loop":
        if begun.loop is None:
            raise UserError("--by inner_loop: the model was trained without `model.inner_loop`; choose head or lora")
        return WholeLearner(model, name, examples, given.steps, given.lr, begun.loop)
    if given.by == "prototypes" and not isinstance(model.tasks[name], SequenceClassification):
        raise UserError("--by prototypes: only a SequenceClassification has classes with means; choose head")
    steps = 0 if given.by == "prototypes" else given.steps
    return HeadLearner(model, name, examples, begun.embedding, steps, given.lr)


def _said(path: Path, given: Namespace, begun: Begun, model: MultiTaskModule, learner: Learner, choice: Choice) -> str:
    labels = begun.examples.by_label()
    of = f"{len(begun.examples.labelled)} examples" + (f" of {len(labels)} labels" if len(labels) > 1 else "")
    how = f"{given.by}, {choice.at} step{'s' * (choice.at != 1)}" if learner.unit == "steps" else given.by
    if choice.score is None:
        left = "no label has an example to leave out"
    else:
        left = f"left out, they have {learner.task.main_metric} {choice.score:.3f}, loss {choice.loss:.3f}"
    others = ", ".join(task for task in model.tasks if task != given.task)
    wrote = f"Wrote {given.output}" + (f", which predicts {others} as well" if others else "")
    return f"Adapted {path} to '{given.task}' by {how}, from {of}: {left}\n{wrote}"


def _table(learner: Learner, points: Sequence[Point]) -> Table:
    table = Table()
    for name in ("examples of a label", learner.task.main_metric, "from", "to"):
        table.add_column(name, justify="right")
    for point in points:
        values = (point.mean, point.low, point.high)
        table.add_row(str(point.shots), *("" if isnan(value) else f"{value:.3f}" for value in values))
    return table


def _write(
    path: Path, given: Namespace, begun: Begun, learner: Learner, choice: Choice, points: Sequence[Point]
) -> None:
    found: dict[str, Any] = {
        "task": given.task,
        "by": given.by,
        "metric": learner.task.main_metric,
        "examples": len(begun.examples.labelled),
        "chosen": {learner.unit: choice.at, "loss": choice.loss, "score": choice.score, "parts": choice.num_parts},
        "draws": given.draws,
        "curve": [point._asdict() for point in points],
    }
    write_whole(path, to_json(found) + "\n")
