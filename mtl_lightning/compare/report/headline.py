"""The answer, in one or two plain sentences."""

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.evidence.wording import worded
from mtl_lightning.compare.planning.fronts import FIXED_WEIGHTS
from mtl_lightning.compare.planning.names import is_single_task
from mtl_lightning.compare.report.numbers import number, places, span
from mtl_lightning.compare.report.times import TITLES, time_measure, times
from mtl_lightning.compare.statistics.summary import Summary

MOST_NAMED = 3


def headline(evidence: Evidence, summary: Summary) -> list[str]:
    """What was shown about the contestants against the reference, and at what cost, where its interval shows one."""
    tests = summary.tests[summary.tests["family"] == "reference"]
    tests = tests[~tests["first"].map(evidence.untrained).astype(bool)]
    alone = tests["first"].map(is_single_task).astype(bool)
    answer = [*_answer(evidence, summary, tests[~alone]), *_baselines(tests[alone], evidence.reference)]
    answer += _fronts(summary)
    answer = [*answer, meaning(summary)] if len(summary.delta_m) else answer
    return [worded(sentence, evidence) for sentence in answer]


def meaning(summary: Summary) -> str:
    """What Δm is."""
    of = {
        "main": "each task's main metric",
        "tasks": "the metrics of each task (first averaged by task)",
        "metrics": "all metrics of all tasks",
    }
    return (
        f"Δm is the mean relative gain in {of[summary.convention]} over a model of the same architecture that is "
        "trained on the task alone, in per cent; higher is better."
    )


def _fronts(summary: Summary) -> list[str]:
    """Which fronts are shown to dominate more than that of fixed weights, or less."""
    if summary.fronts.empty:
        return []
    volumes = summary.fronts[(summary.fronts["measure"] == "hypervolume") & (summary.fronts["front"] != FIXED_WEIGHTS)]
    said = {
        "more": volumes[volumes["difference_low"] > 0],
        "less": volumes[volumes["difference_high"] < 0],
    }
    found = [
        f"The front of {row.front} dominates {how} than that of fixed weights: a hypervolume of "
        f"{number(row['mean'], 3)}, by {span(row.difference_low, row.difference_high, 3, signed=True)}."
        for how, rows in said.items()
        for _, row in rows.iterrows()
    ]
    return found or ["No front is shown to dominate more or less than that of fixed weights."]


def _baselines(tests: pd.DataFrame, reference: str) -> list[str]:
    """Where a single-task baseline is shown to be better or worse than the reference."""
    return [
        f"The baseline '{test['first']}' is shown to be {test.verdict} than {reference}."
        for _, test in tests.iterrows()
        if test.verdict in ("better", "worse")
    ]


def _answer(evidence: Evidence, summary: Summary, tests: pd.DataFrame) -> list[str]:
    reference, where = evidence.reference, f"{summary.overall} on the {evidence.split} split"
    if tests.empty:
        return [f"Nothing was compared with {reference}: no other contestant has a score by {where}."]
    if (tests["verdict"] == "too few seeds").all():
        return [f"Too few seeds to show a difference from {reference} by {where}: run at least three, better five."]
    named = {verdict: list(part["first"]) for verdict, part in tests.groupby("verdict", sort=False)}
    shown = [_shown(tests, verdict, evidence, summary) for verdict in ("better", "worse") if verdict in named]
    same, few = named.get("no difference shown", []), named.get("too few seeds", [])
    unknown = [f"For {_names(few)} too few seeds finished to tell."] if few else []
    if not shown:
        none = f"None of the {len(same)} other contestants was" if len(same) > 1 else f"{same[0]} was not"
        return [f"{none} shown to differ from {reference} by {where}.", *unknown]
    rest = [f"For {_names(same)} no difference from {reference} was shown."] if same else []
    return [f"Compared by {where}.", *shown, *rest, *unknown]


def _shown(tests: pd.DataFrame, verdict: str, evidence: Evidence, summary: Summary) -> str:
    part = tests[tests["verdict"] == verdict]
    part = part.sort_values("difference", ascending=verdict == "worse", kind="stable")
    digits = places((part["high"] - part["low"]) / 2, part["difference"])
    named = [_one(test, evidence, summary, digits) for _, test in part.head(MOST_NAMED).iterrows()]
    more = f" and {len(part) - MOST_NAMED} more" if len(part) > MOST_NAMED else ""
    return f"Shown to be {verdict} than {evidence.reference}: {'; '.join(named)}{more}."


def _one(test: pd.Series, evidence: Evidence, summary: Summary, digits: int) -> str:
    interval = span(test.low, test.high, digits, signed=True)
    by = f"{number(test.difference, digits, signed=True)}, 95 % interval {interval}"
    costs = times(evidence, summary).filter([test["first"]], axis=0)
    known = costs[(costs["relative_low"] > 1) | (costs["relative_high"] < 1)]["relative"]
    named = TITLES[time_measure(evidence)]
    time = f", at {number(float(known.iloc[0]), 2)} times the {named}" if len(known) else ""
    return f"{test['first']} (by {by}{time})"


def _names(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMED else f"the other {len(names)} contestants"
