"""The ways in which an exported model reads inputs, and the graph that reads them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.data.sources.files import form_of, made_of
from mtl_lightning.data.sources.prediction import FOUND, widest_first
from mtl_lightning.errors import UserError
from mtl_lightning.export.graphs import WrittenGraph, write_graph
from mtl_lightning.export.samples import samples, tensors_of
from mtl_lightning.exported.description import Reading
from mtl_lightning.rows.columns import Inputs, pairs_of
from mtl_lightning.rows.made_columns import MadeColumns
from mtl_lightning.rows.text_format import TextFormat
from mtl_lightning.training.module import MultiTaskModule

_LOG = logging.getLogger(__name__)


class Source(NamedTuple):
    """How a data set gives inputs.

    Attributes:
        columns: The column, or columns, of each input, by its name.
        form: How the text of its files is read.
        labels: The tasks that it labels.
        dataset: Its name, to find its examples by.
        made: Columns that a file need not have.
    """

    columns: Inputs
    form: TextFormat
    labels: Sequence[str] = ()
    dataset: str = ""
    made: MadeColumns = MadeColumns()


def sources_of(datasets: Mapping[str, DataSource]) -> list[Source]:
    """How the data sets give inputs, those first in whose way ``predict`` reads a file that has the columns of several.

    Args:
        datasets: By name.
    """
    found = widest_first(datasets).items()
    return [
        Source(
            source.inputs,
            form_of(source),
            list(source.labels),
            name,
            made_of(source).needed((column for _, column in pairs_of(source.inputs)), ()),
        )
        for name, source in found
    ]


def portable(model: MultiTaskModule) -> list[str]:
    """The tasks that predict without torch; the others are named in a warning.

    Raises:
        UserError: If there is none.
    """
    reasons: dict[str, str] = {}
    for name, task in model.tasks.items():
        try:
            task.portable_decoder()
        except UserError as error:
            reasons[name] = str(error)
    if len(reasons) == len(model.tasks):
        raise UserError(f"no task can be exported as onnx: {'; '.join(dict.fromkeys(reasons.values()))}")
    for name, reason in reasons.items():
        _LOG.warning(f"task '{name}' is left out: {reason}; `--format torch` keeps it")
    return [name for name in model.tasks if name not in reasons]


def write_readings(
    model: MultiTaskModule, sources: Sequence[Source], tasks: Sequence[str], folder: Path
) -> tuple[list[Reading], dict[str, WrittenGraph]]:
    """Writes a graph for each set of inputs; returns the ways to read some, and the graph of each data set.

    Args:
        model: In evaluation mode, on the CPU, within :func:`reading_given`.
        sources: As :func:`sources_of` orders them.
        tasks: Names of those to export.
        folder: To write into.

    Raises:
        UserError: If this model cannot be written so.
    """
    plain = model.encoder.processor.plain
    assert plain is not None, "it was checked"
    finder = _finder(model, tasks)
    ways = [way for source in sources if set(source.columns) <= set(plain.inputs) for way in _ways(source)]
    kinds = {frozenset(way.columns): list(way.columns) for way in reversed(ways)}
    read_by = {kind: kind | {FOUND} if kind | {FOUND} in kinds else kind for kind in kinds}
    graphs = {kind: write_graph(model, kinds[kind], tasks, folder) for kind in dict.fromkeys(read_by.values())}
    suffice = {kind: model.can_predict(tensors_of(model, samples(plain, names, (2,)))) for kind, names in kinds.items()}
    readings = []
    for way in ways:
        kind = frozenset(way.columns)
        if (graph := graphs[read_by[kind]]) is None:
            continue
        outputs = {task: of_task for task, of_task in graph.outputs.items() if task in suffice[kind]}
        absent = FOUND in read_by[kind] and (finder is not None or FOUND not in kind)
        labels = [task for task in way.labels if task in tasks]
        found = {FOUND: finder} if absent else {}
        made = dict(way.made.constants), dict(way.made.templates)
        readings.append(Reading(dict(way.columns), way.form, graph.graph, outputs, labels, found, *made))
    if missing := [task for task in tasks if not any(task in reading.outputs for reading in readings)]:
        raise UserError(f"no data set has inputs on which task '{missing[0]}' can be predicted; leave it out (--tasks)")
    of = {each.dataset: graphs[read_by[frozenset(each.columns)]] for each in sources if each in ways}
    readings = [each for place, each in enumerate(readings) if each.outputs and each not in readings[:place]]
    return readings, {name: graph for name, graph in of.items() if graph is not None}


def _ways(source: Source) -> Iterator[Source]:
    """A data set as it is, and without spans, which may not be known of what is predicted on."""
    yield source
    if FOUND in source.columns:
        yield source._replace(columns={name: of for name, of in source.columns.items() if name != FOUND})


def _finder(model: MultiTaskModule, tasks: Sequence[str]) -> str | None:
    """The task that finds the spans which others read; null: they are given.

    Raises:
        UserError: If the tasks read different ones, or that task is not exported.
    """
    of_task = {
        task: model.chain.link(task).finds.get(FOUND) for task in tasks if FOUND in model.tasks[task].required_inputs
    }
    finders = dict.fromkeys(of_task.values())
    if len(finders) > 1:
        raise UserError(f"tasks {', '.join(of_task)} read spans of different origin; export one of them (--tasks)")
    finder = next(iter(finders), None)
    if finder is not None and finder not in tasks:
        raise UserError(f"task '{next(iter(of_task))}' reads the spans that '{finder}' finds; export both (--tasks)")
    return finder


@contextmanager
def reading_given(model: MultiTaskModule) -> Iterator[None]:
    """Makes tasks read as they are given what other tasks find: whoever runs a graph finds it first."""
    links = [model.chain.link(task) for task in model.tasks]
    for link in links:
        link.is_given = True
    try:
        yield
    finally:
        for link in links:
            link.is_given = False
