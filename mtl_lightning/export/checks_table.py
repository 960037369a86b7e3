"""What an export says of itself: a table, ``check.json``, and what is not good enough."""

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from mtl_lightning.export.self_check import Check
from mtl_lightning.export.validation import HALF_A_POINT
from mtl_lightning.strict_json import to_json
from mtl_lightning.terminal.console import Console
from mtl_lightning.writing import write_whole

_LOG = logging.getLogger(__name__)
_NAME = "check.json"


def write_checks(checks: Sequence[Check], folder: Path) -> None:
    """Writes what was found into a folder."""
    found = [{**each._asdict(), "metrics": {t: m.to_json() for t, m in each.metrics.items()}} for each in checks]
    write_whole(folder / _NAME, json.dumps(json.loads(to_json(found)), indent=2, ensure_ascii=False) + "\n")


def print_checks(checks: Sequence[Check]) -> None:
    """Prints what was found, a row a task."""
    table = Table()
    for name in ("file", "task", "largest difference"):
        table.add_column(name)
    for name in ("metric", "of", "MB", "of", "ms an example", "of"):
        table.add_column(name, justify="right")
    for each in checks:
        (size, before), (eager, exported) = each.size, each.latency
        for row, (task, found) in enumerate(each.difference.items()):
            sizes = (f"{size / 1e6:.1f}", f"{before / 1e6:.1f}", f"{exported:.1f}", f"{eager:.1f}")
            judged = each.metrics.get(task)
            metrics = (
                ("", "") if judged is None else (f"{judged.metric} {judged.exported:.4f}", f"{judged.checkpoint:.4f}")
            )
            name = f"{task} (full precision)" if task in each.full_precision else task
            table.add_row(each.graph if row == 0 else "", name, f"{found:.2g}", *metrics, *(sizes if row == 0 else ()))
        table.add_section()
    console = Console()
    console.print("The files beside the checkpoint: metrics, parameters, and time", style="table.title", soft_wrap=True)
    console.print(table)


def not_good_enough(checks: Sequence[Check], tolerance: float | None) -> int:
    """Logs what is not.

    Args:
        checks: Of all files.
        tolerance: Largest difference of outputs; null: these count for nothing, as weights have 8 bits, but metrics do.

    Returns:
        The exit status.
    """
    lines = [line for each in checks for line in (_lost(each) if tolerance is None else _far(each, tolerance))]
    for line in dict.fromkeys(lines):
        _LOG.warning(line)
    return 1 if lines else 0


def _far(check: Check, tolerance: float) -> list[str]:
    return [
        f"task '{task}' differs from the checkpoint by {found:.2g}, more than {tolerance:g}"
        for task, found in check.difference.items()
        if not (math.isfinite(found) and found <= tolerance)
    ]


def _lost(check: Check) -> list[str]:
    return [
        f"task '{task}' loses too much in 8 bits, its head in full precision: {each.metric} is {each.exported:.4f}, "
        f"{each.checkpoint:.4f} in the checkpoint; export it without --int8"
        for task, each in check.metrics.items()
        if each.lost > HALF_A_POINT
    ]
