"""``python -m mtl_lightning convert``: checkpoints in parts become whole, and whole ones become such."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mtl_lightning.checkpoints import find_checkpoint
from mtl_lightning.checkpoints.conversion import convert
from mtl_lightning.checkpoints.parts import parts_of
from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded
from mtl_lightning.stopping import SIGNALS
from mtl_lightning.terminal import say
from mtl_lightning.terminal.commands import OptionParser, run_command

HELP = """\
usage: mtl-lightning convert --ckpt_path FILE|FOLDER|last|best --output FILE

Converts a checkpoint: one in parts, as `--trainer.strategy fsdp2_in_parts` writes it, becomes one file; one file
becomes a checkpoint in parts. Every command reads both. It needs no GPU, and memory for the whole checkpoint.

  --ckpt_path FILE|FOLDER|last|best   a checkpoint, a run's folder, or the last run of --name; a folder means its last
                                      checkpoint
  --output FILE                       where to write; the parts are in a folder beside it, FILE.parts
  --name NAME                         of the run (default: run)
"""


def run(arguments: Sequence[str]) -> int:
    """Runs ``convert`` and prints a mistake in the input as one line.

    Args:
        arguments: After ``convert``.

    Returns:
        The exit status: 0; 2 for a mistake in the input.
    """
    return run_command(arguments, HELP, partial(_convert, arguments))


def _convert(arguments: Sequence[str]) -> int:
    parser = OptionParser("convert")
    parser.add_argument("--ckpt_path", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--name", default="run")
    given = parser.parse_args(list(arguments))
    path = find_checkpoint(expanded(given.ckpt_path, "ckpt_path"), given.name, last=given.ckpt_path != "best")
    if "://" in given.output:
        raise UserError(f"--output: name a local file, found {given.output}")
    output = Path(expanded(given.output, "output"))
    with SIGNALS.deferred("Stopping once the checkpoint is written"):
        in_parts = convert(path, output)
    say(f"Converted {path} to {output}" + (f" and {parts_of(output)}" if in_parts else ""))
    return 0
