"""What runs logged in training, as far as the report draws it."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from mtl_lightning.compare.planning.names import is_single_task
from mtl_lightning.errors import UserError

COLUMNS = ["contestant", "seed", "step", "epoch", "name", "value"]
_DRAWN = ("val/", "train/loss", "train/weight/")
_LAST_STEP = 2**53


def curves(runs: Sequence[tuple[str, int, Path]]) -> pd.DataFrame:
    """The curves of the contestants that train one model for all tasks.

    Args:
        runs: Contestant, seed and folder of each.

    Raises:
        UserError: If a log is broken.
    """
    parts = [
        log.assign(contestant=contestant, seed=seed)[COLUMNS]
        for contestant, seed, folder in runs
        if not is_single_task(contestant) and len(log := _curve(folder))
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _curve(folder: Path) -> pd.DataFrame:
    """``step, epoch, name, value`` of a run, in all its parts; where a step was done twice, the later part counts."""
    parts = [log for path in _logs(folder) if len(log := _log(path))]
    if not parts:
        return pd.DataFrame()
    log = pd.concat(parts, ignore_index=True)
    names = [name for name in log.columns if name.startswith(_DRAWN)]
    long = log.melt(["step", "epoch"], names, "name", "value").dropna(subset="value")
    return long.drop_duplicates(["step", "name"], keep="last").sort_values(["name", "step"], kind="stable")


def _logs(folder: Path) -> Iterator[Path]:
    """``metrics.1.csv`` and so on, and the newest one, ``metrics.csv``."""
    older = {path.suffixes[0][1:]: path for path in folder.glob("metrics.*.csv")}
    for number in sorted(filter(str.isdecimal, older), key=int):
        yield older[number]
    if (folder / "metrics.csv").exists():
        yield folder / "metrics.csv"


def _log(path: Path) -> pd.DataFrame:
    """The columns that are drawn; a last line that was cut off, as when a run is killed, does not count."""
    try:
        text = path.read_text("utf-8")
        text = text[: text.rfind("\n") + 1]
        _check_width(text)
        return _with_steps(pd.read_csv(StringIO(text), usecols=_is_wanted, dtype="float64")) if text else pd.DataFrame()
    except (OSError, ValueError, csv.Error) as error:
        said = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())[:120]
        raise UserError(f"{path} is broken ({said}); remove it, and the report leaves out its curves") from error


def _is_wanted(name: str) -> bool:
    return name in ("step", "epoch") or name.startswith(_DRAWN)


def _check_width(text: str) -> None:
    reader = csv.reader(StringIO(text))
    names = next(reader, [])
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two columns are called {twice[0]!r}")
    for row in reader:
        if len(row) != len(names):
            raise ValueError(f"line {reader.line_num} has {len(row)} values for {len(names)} columns")


def _with_steps(log: pd.DataFrame) -> pd.DataFrame:
    if missing := [name for name in ("step", "epoch") if name not in log]:
        raise ValueError(f"it has no column {missing[0]!r}")
    wrong = ~(log["step"].between(0, _LAST_STEP) & (log["step"] % 1 == 0))
    if wrong.any():
        raise ValueError(f"row {wrong.argmax() + 1} has the step {log['step'][wrong.argmax()]}")
    return log.astype({"step": "int64"})
