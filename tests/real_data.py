"""Where the real data sets are, if anywhere: what reads them is tested on them too, not on miniatures alone."""

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
VARIABLE = "MTL_DATA"
_PLACES = (ROOT / "data", ROOT.parent / "shared" / "data")


def folder() -> Path | None:
    """The folder that ``MTL_DATA`` names, or else ``data``, or else ``shared/data`` beside the checkout; None: no such.

    Raises:
        NotADirectoryError: If ``MTL_DATA`` names something else.
    """
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_dir():
        raise NotADirectoryError(f"{VARIABLE}={named} names no folder")
    places = (Path(named),) if named else _PLACES
    return next((place.resolve() for place in places if place.is_dir()), None)


def kinds(names: Iterable[str]) -> list[str]:
    """On what data to test: ``miniature``, and ``real`` where all these data sets are found."""
    found = folder()
    return ["miniature", *(["real"] if found and all((found / name).is_dir() for name in names) else [])]


def report() -> str:
    """A line for pytest to print: nobody shall take a run on miniatures for one on real data."""
    if found := folder():
        return f"real data sets: {found}; configs and experiments are tested on miniatures and on these"
    return (
        "real data sets: none; configs and experiments are tested on miniatures alone "
        f"(`python -m experiments.data NAME` writes real ones; {VARIABLE} names a folder of them)"
    )
