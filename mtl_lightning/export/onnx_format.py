"""A folder that predicts without torch: ONNX Runtime, a tokenizer's file, and what becomes of the numbers."""

import json
import logging
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from rich.table import Table

from mtl_lightning.errors import UserError
from mtl_lightning.export.format import Format
from mtl_lightning.export.half import halve_graph, tolerance_of
from mtl_lightning.export.quantisation import quantise
from mtl_lightning.export.readings import Source, portable, reading_given, sources_of, write_readings
from mtl_lightning.export.self_check import TOLERANCE, Check, check
from mtl_lightning.exported.description import Description, write_description
from mtl_lightning.terminal.console import Console
from mtl_lightning.training.from_checkpoint import data_of
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.writing import write_whole

_LOG = logging.getLogger(__name__)
_CHECKS = "check.json"
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


class OnnxFormat(Format):
    """Graphs of ONNX, one for each way in which the data sets give inputs, checked against the model."""

    about = "for `predict --model`, without torch; it is checked against the checkpoint"
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "int8": {"nargs": "?", "const": "true", "default": "false", "choices": ("true", "false")}
    }
    help = """\
  --int8 true                       onnx: weights in 8 bits, per channel; activations are quantised as they come
"""

    def export(self, model: MultiTaskModule, folder: Path, given: Namespace) -> int:
        """Writes the files, and says how they compare with the model.

        Returns:
            1 where a difference is larger than it may be.
        """
        _check_installed()
        tasks = portable(model) if given.tasks is None else given.tasks
        plain = model if given.tasks is None else model.merge(*given.tasks)
        datasets = data_of(Path(given.checkpoint), given.trust_classes.split(","), "--trust_classes {}").datasets
        is_int8 = given.int8 == "true"
        if is_int8 and given.half is not None:
            raise UserError("--half: weights have 8 bits with --int8, so leave one of the two out")
        checks = export_onnx(plain, sources_of(datasets), tasks, folder, is_int8, given.half)
        _print_checks(checks)
        return _judged(checks, math.inf if is_int8 else tolerance_of(given.half) if given.half else TOLERANCE)


def export_onnx(
    model: MultiTaskModule,
    sources: Sequence[Source],
    tasks: Sequence[str],
    folder: Path,
    int8: bool = False,
    half: str | None = None,
) -> list[Check]:
    """Writes a model into a folder.

    Args:
        model: Trained, on the CPU.
        sources: The ways in which inputs are given, wider ones first.
        tasks: Names of those to export.
        folder: It is there, and empty.
        int8: Whether weights are to have 8 bits.
        half: The type of 16 bits that they are to have; null: they stay as they are.

    Returns:
        What the files compute and cost beside the model.

    Raises:
        UserError: If this model cannot be written so.
    """
    inputs = model.encoder.processor.plain
    if inputs is None:
        raise UserError(
            f"{type(model.encoder.processor).__name__} has no part that reads inputs without torch; give it the "
            "attribute `plain`, see mtl_lightning.inputs.base"
        )
    decoders = {task: model.tasks[task].portable_decoder() for task in tasks}
    with reading_given(model.eval()):
        readings = write_readings(model, sources, tasks, folder)
        graphs = {reading.graph for reading in readings}
        if int8:
            for name in graphs:
                quantise(folder / name)
        if half is not None:
            for name in graphs:
                halve_graph(folder / name, half)
        widest = {reading.graph: reading for reading in sorted(readings, key=lambda reading: len(reading.outputs))}
        checks = [check(model, inputs, reading, folder) for reading in widest.values()]
    more = {"config": model.config, "versions": {name: version(name) for name in ("torch", *_NEEDED)}}
    write_description(folder, Description(inputs, decoders, readings), more)
    write_whole(folder / _CHECKS, json.dumps([each._asdict() for each in checks], indent=2) + "\n")
    return checks


def _check_installed() -> None:
    for name in _NEEDED:
        try:
            version(name)
        except ModuleNotFoundError:
            raise UserError(f"--format onnx needs {name}: pip install 'mtl-lightning[onnx]'") from None


def _judged(checks: Sequence[Check], tolerance: float) -> int:
    far = [
        (task, found)
        for each in checks
        for task, found in each.difference.items()
        if not (math.isfinite(found) and found <= tolerance)
    ]
    for task, found in far:
        _LOG.warning(f"task '{task}' differs from the checkpoint by {found:.2g}, more than {tolerance:g}")
    return 1 if far else 0


def _print_checks(checks: Sequence[Check]) -> None:
    table = Table()
    for name in ("file", "task", "largest difference"):
        table.add_column(name)
    for name in ("MB", "of", "ms an example", "of"):
        table.add_column(name, justify="right")
    for each in checks:
        (size, before), (eager, exported) = each.size, each.latency
        for row, (task, found) in enumerate(each.difference.items()):
            sizes = (f"{size / 1e6:.1f}", f"{before / 1e6:.1f}", f"{exported:.1f}", f"{eager:.1f}")
            table.add_row(each.graph if row == 0 else "", task, f"{found:.2g}", *(sizes if row == 0 else ()))
        table.add_section()
    console = Console()
    console.print("The files beside the model: its parameters, and its time", style="table.title", soft_wrap=True)
    console.print(table)
