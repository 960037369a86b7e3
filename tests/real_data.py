"""Where the real data sets are, if anywhere: what reads them is tested on them too, not on miniatures alone."""

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
VARIABLE = "MTL_DATA"
_BESIDE = ROOT.parent / "shared" / "data"


def folder() -> Path | None:
    """The folder that ``MTL_DATA`` names, or else ``../shared/data``; None if there is none.

    Raises:
        NotADirectoryError: If ``MTL_DATA`` names something else.
    """
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_dir():
        raise NotADirectoryError(f"{VARIABLE}={named} names no folder")
    found = Path(named) if named else _BESIDE
    return found.resolve() if found.is_dir() else None


def kinds(names: Iterable[str]) -> list[str]:
    """On what data to test: ``miniature``, and ``real`` where all these data sets are found."""
    found = folder()
    return ["miniature", *(["real"] if found and all((found / name).is_dir() for name in names) else [])]


def report() -> str:
    """A line for pytest to print: nobody shall take a run on miniatures for one on real data."""
    if found := folder():
        return f"real data sets: {found}; configs and experiments are tested on miniatures and on these"
    return (
        f"real data sets: none; configs and experiments are tested on miniatures alone "
        f"(set {VARIABLE} to a folder of real ones, or put them into {_BESIDE})"
    )
