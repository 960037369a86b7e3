"""``python -m mtl_lightning compare``: from options to report."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mtl_lightning.compare.planning.configs import refuse_shared_folders
from mtl_lightning.compare.planning.options import parse
from mtl_lightning.compare.planning.plan import make_plan
from mtl_lightning.compare.planning.settings import HELP
from mtl_lightning.compare.running.show import show_plan
from mtl_lightning.compare.running.store import Store
from mtl_lightning.errors import UserError
from mtl_lightning.stopping import SIGNALS, Interrupted, name_of
from mtl_lightning.terminal import say
from mtl_lightning.terminal.commands import run_command
from mtl_lightning.terminal.console import Console


def run(arguments: Sequence[str]) -> int:
    """Runs ``compare`` and prints a mistake in the input as one line.

    Args:
        arguments: After ``compare``.

    Returns:
        The exit status: 0, 2 for a mistake in the input, 1 if no run finished; 128 and the number of the signal if it
        was asked to stop.
    """
    try:
        return run_command(arguments, HELP, partial(_compare, arguments))
    except Interrupted as stopped:
        say(f"Stopped by {name_of(stopped.code - 128)}; the same command resumes.", error=True)
        return stopped.code


def _refuse_environment() -> None:
    """Refuses what would change the runs and not their keys."""
    if names := sorted(name for name in os.environ if name.startswith("MTL_FIT__")):
        raise UserError(f"compare reads no environment variables; give {names[0]} as a flag, and unset it")


def _compare(arguments: Sequence[str]) -> int:
    _refuse_environment()
    plan = make_plan(parse(arguments))
    for contestant in plan.contestants:
        refuse_shared_folders(plan.runs(contestant)[0].config)
    console = Console()
    folder = plan.settings.output or Path("runs", "compare", plan.name)
    if blocked := next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None):
        raise UserError(f"output: {folder} cannot be a folder: {blocked} is a file; name another one")
    store = Store(folder, plan.settings.share)
    show_plan(plan, store, folder, console)
    if plan.settings.dry_run:
        from mtl_lightning.compare.running.estimate import show_estimate

        show_estimate(plan, store, console)
        return 0
    with SIGNALS.nothing_to_lose():
        from mtl_lightning.compare.finish import run_and_report

    return run_and_report(plan, store, folder, console)
