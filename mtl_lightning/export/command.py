"""``python -m mtl_lightning export``: from a checkpoint to a folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mtl_lightning.checkpoints import find_checkpoint
from mtl_lightning.cli.quiet import quieten_libraries
from mtl_lightning.export.folder import check_place, new_export
from mtl_lightning.export.formats import FORMATS
from mtl_lightning.export.options import help_text, parsed
from mtl_lightning.export.preference import prefer
from mtl_lightning.names import names_asked
from mtl_lightning.paths import expanded
from mtl_lightning.stopping import SIGNALS
from mtl_lightning.terminal import say
from mtl_lightning.terminal.commands import run_command
from mtl_lightning.training.loading import load
from mtl_lightning.training.pruned import prune_for_good, share_of_zeros

_MENTIONED = 0.01
"""Share of zeros from which on a model is called pruned: rows for padding are zero, too."""


def run(arguments: Sequence[str]) -> int:
    """Runs ``export`` and prints a mistake in the input as one line.

    Args:
        arguments: After ``export``.

    Returns:
        The exit status: 0; 1 where what was written is not good enough; 2 for a mistake in the input.
    """
    return run_command(arguments, help_text(), partial(_export, arguments))


def _export(arguments: Sequence[str]) -> int:
    quieten_libraries()
    given = parsed(arguments)
    output, form = Path(given.output), FORMATS[given.format]
    check_place(output)
    given.checkpoint = find_checkpoint(expanded(given.ckpt_path, "--ckpt_path"), given.name, last=False)
    model = load(given.checkpoint, given.trust_classes.split(",") if given.trust_classes else ())
    prune_for_good(model)
    if given.preference is not None:
        prefer(model, given.preference)
    if given.tasks is not None:
        given.tasks = names_asked("--tasks", given.tasks, list(model.tasks))
    with SIGNALS.deferred("Stopping once the folder is written"), new_export(output, given.format) as folder:
        status = form.export(model, folder, given)
    say(f"Exported {given.checkpoint} to {output}")
    if (zeros := share_of_zeros(model)) >= _MENTIONED:
        say(f"{zeros:.1%} of the checkpoint's weights are zero")
    return status or form.written(given)
