"""The answer, in one or two plain sentences."""

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.report.numbers import number, places, span
from mtl_lightning.compare.statistics.summary import Summary

MOST_NAMED = 3


def headline(evidence: Evidence, summary: Summary) -> list[str]:
    """What was shown about the contestants against the reference, and at what cost, where its interval shows one."""
    tests = summary.tests[summary.tests["family"] == "reference"]
    reference, where = evidence.reference, f"{summary.overall} on the {evidence.split} split"
    if tests.empty:
        return [f"Nothing was compared with {reference}: no other contestant has a score by {where}."]
    if (tests["verdict"] == "too few seeds").all():
        return [f"Too few seeds to show a difference from {reference} by {where}: run at least three, better five."]
    named = {verdict: list(part["first"]) for verdict, part in tests.groupby("verdict", sort=False)}
    shown = [_shown(tests, verdict, summary, reference) for verdict in ("better", "worse") if verdict in named]
    same, few = named.get("no difference shown", []), named.get("too few seeds", [])
    unknown = [f"For {_names(few)} too few seeds finished to tell."] if few else []
    if not shown:
        none = f"None of the {len(same)} other contestants was" if len(same) > 1 else f"{same[0]} was not"
        return [f"{none} shown to differ from {reference} by {where}.", *unknown]
    rest = [f"For {_names(same)} no difference from {reference} was shown."] if same else []
    return [f"Compared by {where}.", *shown, *rest, *unknown]


def _shown(tests: pd.DataFrame, verdict: str, summary: Summary, reference: str) -> str:
    part = tests[tests["verdict"] == verdict]
    part = part.sort_values("difference", ascending=verdict == "worse", kind="stable")
    digits = places((part["high"] - part["low"]) / 2, part["difference"])
    named = [_one(test, summary, digits) for _, test in part.head(MOST_NAMED).iterrows()]
    more = f" and {len(part) - MOST_NAMED} more" if len(part) > MOST_NAMED else ""
    return f"Shown to be {verdict} than {reference}: {'; '.join(named)}{more}."


def _one(test: pd.Series, summary: Summary, digits: int) -> str:
    interval = span(test.low, test.high, digits, signed=True)
    by = f"{number(test.difference, digits, signed=True)}, 95 % interval {interval}"
    costs = summary.costs[
        (summary.costs["contestant"] == test["first"]) & (summary.costs["measure"] == "seconds_per_step")
    ]
    known = costs[(costs["relative_low"] > 1) | (costs["relative_high"] < 1)]["relative"]
    time = f", at {number(float(known.iloc[0]), 2)} times the time a step" if len(known) else ""
    return f"{test['first']} (by {by}{time})"


def _names(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMED else f"the other {len(names)} contestants"
