"""A folder that predicts without torch: ONNX Runtime, a tokenizer's file, and what becomes of the numbers."""

import logging
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from mtl_lightning.errors import UserError
from mtl_lightning.export.checks_table import not_good_enough, print_checks, write_checks
from mtl_lightning.export.eight_bits import Quality, in_8_bits
from mtl_lightning.export.format import Format
from mtl_lightning.export.half import halve_graph, tolerance_of
from mtl_lightning.export.readings import Source, portable, reading_given, sources_of, write_readings
from mtl_lightning.export.self_check import TOLERANCE, Check, check
from mtl_lightning.export.validation import LIMIT, Validation
from mtl_lightning.exported.description import Description, write_description
from mtl_lightning.training.from_checkpoint import data_of
from mtl_lightning.training.module import MultiTaskModule

_LOG = logging.getLogger(__name__)
_TRUST = "--trust_classes {}"
_SOME = 256
"""Examples of each data set on which activations are looked at before weights take 8 bits."""

_NEEDED = ("onnx", "onnxscript", "onnxruntime")


class OnnxFormat(Format):
    """Graphs of ONNX, one for each way in which the data sets give inputs, checked against the model."""

    about = "for `predict --model`, without torch; it is checked against the checkpoint"
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "int8": {"nargs": "?", "const": "true", "default": "false", "choices": ("true", "false")},
        "calibrate": {"type": int, "default": 0},
        "limit": {"type": int, "default": LIMIT},
    }
    help = f"""\
  --int8 true                       onnx: weights in 8 bits, per channel; activations are quantised as they come
  --calibrate N                     onnx, with --int8: take ranges of activations from so many validation examples of
                                    each data set, instead of quantising them as they come
  --limit N                         onnx: compare metrics on so many validation examples of each data set, spread
                                    evenly (default: {LIMIT}; 0: do not)
"""

    def export(self, model: MultiTaskModule, folder: Path, given: Namespace) -> int:
        """Writes the files, and says how they compare with the model.

        Returns:
            1 where a difference is larger than it may be, or a task loses too much in 8 bits.
        """
        _check_installed()
        for name in ("limit", "calibrate"):
            if getattr(given, name) < 0:
                raise UserError(f"--{name} must be at least 0, found {getattr(given, name)}")
        tasks = portable(model) if given.tasks is None else given.tasks
        plain = model if given.tasks is None else model.merge(*given.tasks)
        trusted = given.trust_classes.split(",")
        sources = sources_of(data_of(Path(given.checkpoint), trusted, _TRUST).datasets)
        is_int8 = given.int8 == "true"
        if is_int8 and given.half is not None:
            raise UserError("--half: weights have 8 bits with --int8, so leave one of the two out")
        if given.calibrate and not is_int8:
            raise UserError("--calibrate is of weights in 8 bits; add --int8 true")
        validation = _validation(plain, given, trusted)
        if given.calibrate and validation is None:
            raise UserError("--calibrate needs the validation split of the run's data; leave it out")
        checks = export_onnx(plain, sources, tasks, folder, is_int8, given.half, validation, given.calibrate)
        print_checks(checks)
        return not_good_enough(checks, None if is_int8 else tolerance_of(given.half) if given.half else TOLERANCE)


def export_onnx(
    model: MultiTaskModule,
    sources: Sequence[Source],
    tasks: Sequence[str],
    folder: Path,
    int8: bool = False,
    half: str | None = None,
    validation: Validation | None = None,
    calibrate: int = 0,
) -> list[Check]:
    """Writes a model into a folder.

    Args:
        model: Trained, on the CPU.
        sources: The ways in which inputs are given, wider ones first.
        tasks: Names of those to export.
        folder: It is there, and empty.
        int8: Whether weights are to have 8 bits; the head of a task that loses more than half a point has more.
        half: The type of 16 bits that they are to have; null: they stay as they are.
        validation: What judges the files; null: nothing does.
        calibrate: With ``int8``: how many of its examples ranges of activations are taken from; 0: none.

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
        readings, graphs = write_readings(model, sources, tasks, folder)
        qualities = {}
        for name in {reading.graph for reading in readings}:
            of = [dataset for dataset, graph in graphs.items() if graph.graph == name]
            judge = partial(validation.judge, graphs[of[0]], folder / name, of) if validation and of else None
            if half is not None:
                halve_graph(folder / name, half)
            batches = partial(validation.inputs, of, calibrate) if validation and of and calibrate else None
            some = partial(validation.inputs, of, _SOME) if validation and of else None
            qualities[name] = in_8_bits(model, folder / name, judge, batches, some) if int8 else Quality.of(judge)
        widest = {reading.graph: reading for reading in sorted(readings, key=lambda reading: len(reading.outputs))}
        checks = [
            check(model, inputs, reading, folder)._replace(**qualities[name]._asdict())
            for name, reading in widest.items()
        ]
    more = {"config": model.config, "versions": {name: version(name) for name in ("torch", *_NEEDED)}}
    write_description(folder, Description(inputs, decoders, readings), more)
    write_checks(checks, folder)
    return checks


def _validation(model: MultiTaskModule, given: Namespace, trusted: Sequence[str]) -> Validation | None:
    if given.limit == 0:
        return None
    try:
        return Validation(model, data_of(Path(given.checkpoint), trusted, _TRUST, list(model.tasks)), given.limit)
    except UserError as error:
        _LOG.warning(f"metrics are not compared: {error}")
        return None


def _check_installed() -> None:
    for name in _NEEDED:
        try:
            version(name)
        except ModuleNotFoundError:
            raise UserError(f"--format onnx needs {name}: pip install 'mtl-lightning[onnx]'") from None
