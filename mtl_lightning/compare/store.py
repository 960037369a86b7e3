"""The runs of a comparison on disk: a folder each, found by key."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from mtl_lightning.compare.plan import Run

FIT = "fit.yaml"
PROBED = "probed.json"
RECORD = "record.json"
RESULT = "result.json"
LOG = "log.txt"
KEPT = ("finished", "diverged", "solver")
"""What a run would come to again; others are tried again when a comparison goes on."""


class Store:
    """Keeps the runs of a comparison.

    Args:
        folder: Of the comparison.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "runs"

    def path(self, run: Run) -> Path:
        """Folder of a run: the one that holds its key, or a new one."""
        return next(iter(sorted(self.folder.glob(f"*-{run.key}"))), self.folder / run.name)

    def result(self, run: Run) -> dict[str, Any] | None:
        """What a run came to, as :func:`.execute.execute` wrote it; None while it has not ended."""
        found: dict[str, Any] | None = read_json(self.path(run) / RESULT)
        return found

    def is_done(self, run: Run) -> bool:
        """Whether a run need not be run again."""
        found = self.result(run)
        return found is not None and found["status"] in KEPT

    def prepare(self, run: Run) -> Path:
        """Makes a run ready to start; one that was stopped goes on, one that failed starts anew."""
        folder = self.path(run)
        if (folder / RESULT).exists():
            if (read_json(folder / RESULT) or {}).get("status") != "timeout":
                shutil.rmtree(folder)
            else:
                (folder / RESULT).unlink()
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / FIT, yaml.safe_dump(run.config, allow_unicode=True, sort_keys=False))
        return folder

    def fail(self, run: Run, status: str, message: str, seconds: float) -> None:
        """Writes down a run that could not do so itself."""
        result = {"status": status, "message": message, "seconds": seconds}
        write_text(self.path(run) / RESULT, json.dumps(result, indent=1))


def read_json(path: Path) -> Any:
    """What a file holds; None if there is none."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None


def write_text(path: Path, text: str) -> None:
    """Writes a file that appears whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, "utf-8")
    os.replace(new, path)
