"""Whether an exported model computes what the model computes, and what it costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch

from mtl_lightning.errors import UserError
from mtl_lightning.export.samples import LONGEST, samples, tensors_of
from mtl_lightning.export.validation import Judged
from mtl_lightning.exported.description import Reading
from mtl_lightning.exported.graph import Graph
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.training.module import MultiTaskModule

TOLERANCE = 1e-4
"""Largest difference of numbers that an export in full precision may have."""

_ONE, _FEW, _MANY = (1,), (7, 2), (1, 12, 3, 30, 5)
_RUNS = 5


class Check(NamedTuple):
    """What was found of one way to read inputs.

    Attributes:
        graph: The file.
        difference: The largest one, by task.
        size: Of the file, and of the parameters that it has of the model, in bytes.
        latency: Of one example of 12 words, in milliseconds: of the model, and of the file.
        metrics: On validation examples, by task as far as these are labelled.
        full_precision: Names of the tasks whose heads have more than 8 bits, where the other weights have 8.
    """

    graph: str
    difference: Mapping[str, float]
    size: tuple[int, int]
    latency: tuple[float, float]
    metrics: Mapping[str, Judged] = {}
    full_precision: Sequence[str] = ()


def check(model: MultiTaskModule, inputs: Inputs, reading: Reading, folder: Path) -> Check:
    """Compares a file with the model at five sizes of a batch, one word and the longest text among them.

    Args:
        model: It was made of.
        inputs: What reads raw values.
        reading: The way in which it reads them.
        folder: Of the file.
    """
    graph = Graph(folder / reading.graph, threads=torch.get_num_threads())
    try:
        return _checked(model, inputs, reading, graph, folder)
    except UserError as error:
        raise UserError(f"this model cannot be exported as onnx: {error}") from error


def _checked(model: MultiTaskModule, inputs: Inputs, reading: Reading, graph: Graph, folder: Path) -> Check:
    longest = min(int(getattr(model.encoder.processor, "max_length", 0)) + 8, LONGEST)
    largest: dict[str, float] = {}
    for sizes in (_ONE, _FEW, _MANY, (longest,), (2, longest)):
        raw = samples(inputs, reading.inputs, sizes)
        for task, found in _differences(model, graph, reading, raw).items():
            largest[task] = max(found, largest.get(task, 0.0))
    raw = samples(inputs, reading.inputs, (12,))
    return Check(reading.graph, largest, _sizes(model, folder / reading.graph), _latencies(model, graph, reading, raw))


def _differences(
    model: MultiTaskModule, graph: Graph, reading: Reading, raw: Mapping[str, Sequence[Any]]
) -> dict[str, float]:
    tensors = tensors_of(model, raw)
    with torch.no_grad():
        wanted = model.read_by_decoders(tensors, list(reading.outputs))
    names = [name for of_task in reading.outputs.values() for name in of_task.values()]
    found = graph.run({name: tensor.numpy() for name, tensor in tensors.items()}, names)
    return {
        task: max(_difference(found[theirs], wanted[task][ours].numpy()) for ours, theirs in of_task.items())
        for task, of_task in reading.outputs.items()
    }


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest one; infinite where the shapes differ, or one of them alone is finite."""
    if found.shape != wanted.shape:
        return float("inf")
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = np.where(same, 0.0, np.abs(np.where(same, 0.0, a) - np.where(same, 0.0, b)))
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))


def _sizes(model: MultiTaskModule, path: Path) -> tuple[int, int]:
    parameters = {id(p): p.numel() * p.element_size() for p in model.parameters()}
    return path.stat().st_size, sum(parameters.values())


def _latencies(
    model: MultiTaskModule, graph: Graph, reading: Reading, raw: Mapping[str, Sequence[Any]]
) -> tuple[float, float]:
    tensors, tasks = tensors_of(model, raw), list(reading.outputs)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    names = [name for of_task in reading.outputs.values() for name in of_task.values()]

    def eager() -> None:
        with torch.no_grad():
            model.read_by_decoders(tensors, tasks)

    def exported() -> None:
        graph.run(arrays, names)

    pairs = [(_milliseconds(eager), _milliseconds(exported)) for _ in range(_RUNS)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def _milliseconds(run: Any) -> float:
    start = perf_counter()
    run()
    return 1000 * (perf_counter() - start)
