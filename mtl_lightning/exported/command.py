"""``python -m mtl_lightning predict --model FOLDER``: predictions of an exported model, without torch."""

from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mtl_lightning.cli.line_output import LineOutput
from mtl_lightning.cli.outputs import check_output
from mtl_lightning.errors import UserError
from mtl_lightning.exported.lines import Lines
from mtl_lightning.exported.model import ExportedModel
from mtl_lightning.exported.rows import batched, in_order_of, read
from mtl_lightning.names import names_asked
from mtl_lightning.paths import expanded
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
  --images FOLDER           write predictions that are images as PNG files FOLDER/TASK/ROW.png
  --batch_size N            examples that are read, computed and written at once (default: 64); 1: each line of a
                            pipe is answered as it comes
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
    given = _parsed(arguments)
    model = ExportedModel(given.model, given.threads)
    tasks = None if given.tasks is None else names_asked("--tasks", given.tasks, list(model.tasks))
    if given.output != "-":
        if Path(given.output).is_file() and Path(given.input).is_file() and Path(given.input).samefile(given.output):
            raise UserError(f"--output: {given.output} is the input, which would be overwritten; name another file")
        check_output(given.output)
    file = read(given.input, in_order_of(model.readings, tasks))
    model.open(model.reading_of(file.inputs, tasks))
    lines = Lines(model, file, tasks, given.images)
    output = LineOutput(given.output)
    try:
        for rows in batched(file.rows, given.batch_size):
            output.write(lines.of(rows))
        output.finish()
    except BaseException as stopped:
        output.leave()
        stopped.add_note(f"{output.num_lines:,} predictions are {output.place}")
        raise
    lines.report()
    return 0


def _parsed(arguments: Sequence[str]) -> Namespace:
    parser = OptionParser("predict --model")
    parser.add_argument("--model", required=True)
    for name in ("input", "output"):
        parser.add_argument(f"--{name}", default="-")
    parser.add_argument("--tasks", action="append", default=[])
    parser.add_argument("--images")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(list(arguments))
    if len(given.tasks) > 1:
        raise UserError("--tasks is given twice; name all tasks at once, separated by commas")
    given.tasks = given.tasks[0] if given.tasks else None
    for name in ("batch_size", "threads"):
        if (number := getattr(given, name)) is not None and number < 1:
            raise UserError(f"--{name} must be at least 1, found {number}")
    for name in ("model", "input", "output"):
        setattr(given, name, expanded(getattr(given, name), f"--{name}"))
    given.images = None if given.images is None else expanded(given.images, "--images")
    return given
