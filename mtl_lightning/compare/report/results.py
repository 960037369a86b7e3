"""Every run's every score as one tidy table, for those who want to compute something else."""

import json
from pathlib import Path

import pandas as pd

from mtl_lightning.compare.evidence import MEASURES, Evidence
from mtl_lightning.terminal import printable

TEXTS = ("role", "contestant", "first_task", "second_task", "status", "task", "metric", "split", "settings", "message")
WHOLE = ("seed", "trial", "steps")
COLUMNS = [
    *("role", "contestant", "first_task", "second_task", "seed", "trial", "status", "task", "metric", "split", "value"),
    *(*MEASURES, "settings", "message", "folder"),
]

_FORMULAS = ("=", "+", "-", "@", "\t", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How texts begin that spreadsheets calculate, also in full width."""


def results(evidence: Evidence) -> pd.DataFrame:
    """One row for each score, and one for each run that has none.

    Returns:
        ``role`` is ``compare``, ``pair`` (the two tasks are in ``first_task`` and ``second_task``; no contestant) or
        ``tune`` (``value`` is the search's objective on validation). Costs stand beside the scores of the run that
        they are of, ``message`` and ``folder`` beside runs without a score. Rows are in the order of the plan. Runs of
        a cross-validation have a column ``fold``, too.
    """
    scores = evidence.scores.merge(evidence.costs, on=["contestant", "seed"], how="left")
    scores = scores.assign(role="compare", status="finished", split=evidence.split)
    pairs = evidence.pairs.rename(columns={"first": "first_task", "second": "second_task"})
    pairs = pairs.assign(role="pair", status="finished", split=evidence.split)
    trials = evidence.trials.rename(columns={"number": "trial"})
    settings = [json.dumps(found, ensure_ascii=False, sort_keys=True, default=str) for found in trials["settings"]]
    trials = trials.assign(role="tune", split="val", settings=settings)
    broken = evidence.runs[(evidence.runs["status"] != "finished") & (evidence.runs["role"] != "tune")]
    parts = [part.reindex(columns=COLUMNS) for part in (scores, broken, pairs, trials) if len(part)]
    table = pd.concat([_typed(part) for part in parts]) if parts else _typed(pd.DataFrame(columns=COLUMNS))
    table = _ordered(table, evidence)
    if evidence.replicates == "fold":
        table.insert(table.columns.get_loc("seed"), "fold", table["seed"].where(table["role"] != "tune"))
    return table


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    texts = dict.fromkeys((*TEXTS, "folder"), "string")
    numbers = {name: "Int64" if name in WHOLE else "float64" for name in COLUMNS if name not in texts}
    return table.astype(texts | numbers)


def _ordered(table: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    known = {
        "role": ["compare", "pair", "tune"],
        "contestant": evidence.contestants,
        "task": evidence.tasks,
        "metric": list(dict.fromkeys(evidence.metrics["metric"])),
    }
    keys = [*("role", "contestant", "first_task", "second_task", "seed", "trial", "task", "metric", "status", "folder")]

    def position(column: pd.Series) -> pd.Series:
        places = {value: at for at, value in enumerate(known.get(column.name, []))}
        return column.map(places).fillna(len(places)) if places else column

    return table.sort_values(keys, key=position, kind="stable", ignore_index=True)


def _cell(text: str) -> str:
    """A text on one line, as a bare carriage return would end it, and no formula."""
    return f"'{printable(text)}" if text.startswith(_FORMULAS) else printable(text)


def write_results(evidence: Evidence, folder: Path) -> list[Path]:
    """Writes ``results.csv`` (UTF-8, as many digits as it takes to read the same numbers) and ``results.parquet``.

    A text that a spreadsheet would take for a formula has an apostrophe before it in ``results.csv``, as OWASP advises
    ("CSV Injection"); in ``results.parquet`` it is as it was.
    """
    table = results(evidence)
    csv, parquet = folder / "results.csv", folder / "results.parquet"
    texts = table.select_dtypes("string").columns
    safe = table.assign(**{name: table[name].map(_cell, na_action="ignore") for name in texts})
    safe.to_csv(csv, index=False, lineterminator="\n", encoding="utf-8")
    table.to_parquet(parquet, index=False)
    return [csv, parquet]
