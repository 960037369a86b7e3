"""What smaller and faster models cost, on two tasks of SNIPS: ``python -m experiments.compression``.

Trains a model, one of half its layers that learns from it, and one of which half of the weights are pruned; exports
them in several forms; and prints size, memory, time and scores of each beside one model for each task. What is there
already in the folder is kept, so that the same command resumes. Further flags are those of every ``fit``.
"""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.compression.figure import draw
from experiments.compression.measure import measured
from experiments.compression.models import checkpoint, export, flags_of, rows, train
from experiments.compression.table import table
from experiments.data.place import data_folder

CONFIG = Path("configs/snips.yaml")
TASKS = {"intent": "accuracy", "slots": "F1"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, exports, measures; prints a table, and writes it with a figure."""
    parser = _parser()
    options, flags = parser.parse_known_args(arguments)
    output: Path = options.output
    (output / "runs").mkdir(parents=True, exist_ok=True)
    settings = {"config": options.config.read_text("utf-8"), "flags": flags, "layers": options.layers}
    settings |= {"pruned_epochs": options.pruned_epochs}
    if other := _other(output / "settings.json", settings):
        parser.error(f"--output: {output} holds models of another `{other}`; set it back, or name another folder")
    for name, own in flags_of(output, options.layers, options.pruned_epochs).items():
        train(name, output, options.config, [*flags, *own])
    ways = {}
    for name, row in rows(list(TASKS)).items():
        for folder, form in row.folders.items():
            export(folder, row.run, output, form)
        ways[name] = [output / "exports" / folder for folder in row.folders] or [checkpoint(row.run, output)]
    examples = _examples(options.limit)
    labels = {task: [row[task] for row in examples] for task in TASKS}
    inputs = {"tokens": [row["tokens"] for row in examples]}
    found = measured(ways, inputs, labels, min(options.timed, len(examples)), options.rounds, output / "measured")
    machine = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    head = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "flags": flags}
    (output / "results.json").write_text(json.dumps({**head, "rows": found}, indent=1) + "\n", "utf-8")
    (output / "table.md").write_text(table(found, TASKS) + "\n", "utf-8")
    draw(found, TASKS, output / "compression.png")
    print(table(found, TASKS))


def _other(path: Path, settings: dict[str, Any]) -> str | None:
    """The setting that models which are there already have otherwise; without any, these are kept."""
    if not path.exists():
        path.write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
    before = json.loads(path.read_text("utf-8"))
    return next((name for name, value in settings.items() if before.get(name) != value), None)


def _examples(limit: int | None) -> list[dict[str, Any]]:
    lines = (data_folder() / "snips" / "test.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[:limit]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.compression", description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the model (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("build/compression"), help="folder for all files")
    parser.add_argument("--layers", type=int, default=3, help="of the distilled model (default: %(default)s)")
    parser.add_argument("--pruned_epochs", type=int, default=2, help="of the pruned model (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N examples of the test split alone")
    parser.add_argument("--timed", type=int, default=100, help="how many of them are timed (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of timing (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
