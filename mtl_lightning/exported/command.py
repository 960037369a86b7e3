"""``python -m mtl_lightning predict --model FOLDER``: predictions of an exported model, without torch."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mtl_lightning.cli.outputs import Output, check_output
from mtl_lightning.errors import UserError
from mtl_lightning.exported.graph import NotComputedError
from mtl_lightning.exported.model import ExportedModel
from mtl_lightning.exported.rows import Row, read
from mtl_lightning.paths import expanded
from mtl_lightning.rows.columns import Inputs, at_fault, pairs_of, raw_values
from mtl_lightning.strict_json import to_json
from mtl_lightning.terminal.commands import OptionParser, run_command

_HELP = """\
usage: mtl-lightning predict --model FOLDER [--input FILE] [--output FILE] [--tasks NAME[,NAME...]]

Predicts with a model that `export --format onnx` wrote; torch is not needed. The lines are those of the checkpoint.

options:
  --model FOLDER            the exported model
  --input FILE              texts, one per line, or a .jsonl, .json, .csv or .tsv file (also .gz) with the columns
                            of the training data; '-' (default) reads texts from standard input
  --output FILE             where to write the JSON lines; '-' (default) is standard output
  --tasks NAME[,NAME...]    predict these tasks alone (default: all)
  --batch_size N            examples that are computed at once (default: 64)
  --threads N               that compute (default: as many as there are cores)
"""


def run(arguments: Sequence[str]) -> int:
    """Runs ``predict --model`` and prints a mistake in the input as one line.

    Args:
        arguments: After ``predict``.

    Returns:
        The exit status.
    """
    return run_command(arguments, _HELP, partial(_predict, arguments))


def _predict(arguments: Sequence[str]) -> int:
    parser = OptionParser("predict --model")
    parser.add_argument("--model", required=True)
    for name in ("input", "output"):
        parser.add_argument(f"--{name}", default="-")
    parser.add_argument("--tasks")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(list(arguments))
    for name in ("batch_size", "threads"):
        if (number := getattr(given, name)) is not None and number < 1:
            raise UserError(f"--{name} must be at least 1, found {number}")
    for name in ("model", "input", "output"):
        setattr(given, name, expanded(getattr(given, name), f"--{name}"))
    model = ExportedModel(given.model, given.threads)
    tasks = None if given.tasks is None else [name.strip() for name in given.tasks.split(",")]
    if given.output != "-":
        if Path(given.output).is_file() and Path(given.input).is_file() and Path(given.input).samefile(given.output):
            raise UserError(f"--output: {given.output} is the input, which would be overwritten; name another file")
        check_output(given.output)
    rows, columns = read(given.input, model.readings)
    model.open(model.reading_of(columns, tasks))
    output = None if given.output == "-" else Output(given.output, "--output")
    file = sys.stdout if output is None else output.file
    for first in range(0, len(rows), given.batch_size):
        for line in lines(model, rows[first : first + given.batch_size], columns, tasks):
            file.write(line + "\n")
        file.flush()
    if output is not None:
        output.finish()
    return 0


def lines(model: ExportedModel, rows: Sequence[Row], columns: Inputs, tasks: Sequence[str] | None) -> Iterator[str]:
    """A line of JSON for each row, as ``predict`` writes it.

    Args:
        model: What predicts.
        rows: One batch.
        columns: Which of their columns are which inputs.
        tasks: Names of those to predict; null: all.
    """
    good = [number for number, row in enumerate(rows) if row.reason is None]
    found = dict(_sifted(model, rows, good, columns, tasks))
    for number, row in enumerate(rows):
        predicted = found.get(number, row.reason)
        if isinstance(predicted, Mapping):
            yield to_json({**row.values, "predictions": predicted})
        else:
            yield to_json({**row.values, "predictions": None, "reason": predicted})


def _sifted(
    model: ExportedModel, rows: Sequence[Row], numbers: Sequence[int], columns: Inputs, tasks: Sequence[str] | None
) -> Iterator[tuple[int, Any]]:
    """Predictions of the rows of some numbers, or why there is none; where they cannot be had at once, each half by
    itself.
    """
    if not numbers:
        return
    values = {name: [rows[number].values[name] for number in numbers] for _, name in pairs_of(columns)}
    raw = {name: raw_values(values, of) for name, of in columns.items()}
    try:
        yield from zip(numbers, model.predict(raw, len(numbers), tasks), strict=True)
    except NotComputedError:
        raise
    except UserError as error:
        if len(numbers) == 1:
            yield numbers[0], f"{at_fault(columns, error)}: {error}"
            return
        middle = len(numbers) // 2
        for half in (numbers[:middle], numbers[middle:]):
            yield from _sifted(model, rows, half, columns, tasks)
