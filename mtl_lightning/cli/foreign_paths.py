"""Where a run may write that is resumed with the configuration of somebody else."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mtl_lightning.errors import UserError, shown

_READ = ("model", "data")
"""Sections whose paths are read and never written."""


def refuse_writes(config: Mapping[str, Any], checkpoint: Path, given: Collection[str]) -> None:
    """Refuses what leads out of the working directory and the run's folder, or to a file that is there already.

    Args:
        config: Of a run that nobody knows who started.
        checkpoint: That holds it, in ``checkpoints`` of the run's folder.
        given: Keys that the user gives himself.

    Raises:
        UserError: Of the first such path.
    """
    run = checkpoint.resolve().parent.parent if checkpoint.resolve().parent.name == "checkpoints" else None
    for key, text in _texts({name: part for name, part in config.items() if name not in _READ}, ()):
        if not any(key == other or key.startswith(f"{other}.") for other in given) and _leads_out(text, run):
            raise UserError(
                f"the configuration in {checkpoint}, which carries no signature of yours, would have {key} write to "
                f"{shown(text)}; set that key yourself, or give the run's `--config`"
            )


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and path[-1:] != ("class_path",):
        yield ".".join(part for part in path if part != "init_args"), value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, path)


def _leads_out(text: str, run: Path | None) -> bool:
    if "://" in text or text.startswith("~") or "$" in text:
        return True
    path = Path(os.path.normpath(Path.cwd() / text))
    if run is not None and path.resolve().is_relative_to(run):
        return False
    return path.is_file() or not path.resolve().is_relative_to(Path.cwd().resolve())
