"""What a comparison found of the contestant that a model is of."""

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.intervals import t_interval
from mtl_lightning.paths import expanded

_FILE = "results.csv"


class Score(NamedTuple):
    """A metric over the runs of a contestant.

    Attributes:
        mean: Of the runs.
        half: Half the width of its 95 % confidence interval (Student's t); null: there is a single run.
        runs: Their number.
    """

    mean: float
    half: float | None
    runs: int


class Comparison(NamedTuple):
    """What a comparison says of a contestant.

    Attributes:
        contestant: Its name.
        split: That the scores are of.
        scores: By task and metric.
        seconds: That a run trained, on average; null: it is not known.
    """

    contestant: str
    split: str
    scores: dict[tuple[str, str], Score]
    seconds: float | None


def read_comparison(folder: str, contestant: str | None) -> Comparison:
    """Reads the scores in the folder of a comparison.

    Args:
        folder: In which ``results.csv`` is.
        contestant: Its name; null: there is one.

    Raises:
        UserError: If there are no scores, or none of that contestant.
    """
    path = Path(expanded(folder, "--comparison"), _FILE)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["role"] == "compare" and row["status"] == "finished"]
        names = list(dict.fromkeys(row["contestant"] for row in rows))
        name = contestant or (names[0] if len(names) == 1 else "")
        if name not in names:
            raise UserError(f"--contestant: {_unknown(name, names)}")
        return _of([row for row in rows if row["contestant"] == name], name)
    except (OSError, KeyError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--comparison: {folder} has no readable {_FILE}; give the folder of `compare`") from error


def _unknown(name: str, names: Sequence[str]) -> str:
    return f"there is no '{name[:80]}'; {did_you_mean(name, names)}" if name else did_you_mean("", names)


def _of(rows: Sequence[dict[str, str]], name: str) -> Comparison:
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    seconds: dict[str, float] = {}
    for row in rows:
        if (value := _number(row["value"])) is not None:
            values[row["task"], row["metric"]].append(value)
        step, steps = _number(row["seconds_per_step"]), _number(row["steps"])
        if step is not None and steps is not None:
            seconds[row["seed"]] = step * steps
    folds = len({row["fold"] for row in rows}) if "fold" in rows[0] else 0
    overlap = 1 / (folds - 2) if folds > 2 else 0.0  # Nadeau and Bengio 2003, as the report has it
    scores = {key: _score(found, overlap) for key, found in values.items()}
    return Comparison(name, rows[0]["split"], scores, sum(seconds.values()) / len(seconds) if seconds else None)


def _score(values: Sequence[float], overlap: float) -> Score:
    found = t_interval(np.array(values), overlap=overlap)
    return Score(float(found.mean), float(found.high - found.mean) if len(values) > 1 else None, len(values))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
