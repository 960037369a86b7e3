"""The answer, in one or two plain sentences."""

from math import isfinite

import pandas as pd

from mtl_lightning.compare.evidence import Evidence
from mtl_lightning.compare.report.numbers import number, places, span
from mtl_lightning.compare.summary import Summary

MOST_NAMED = 3


def headline(evidence: Evidence, summary: Summary) -> list[str]:
    """What was shown about the contestants against the reference, and at what cost."""
    tests = summary.tests[summary.tests["family"] == "reference"]
    reference, where = evidence.reference, f"{summary.overall} on the {evidence.split} split"
    if tests.empty:
        return [f"Nothing was compared with {reference}: no other contestant has a score by {where}."]
    if (tests["verdict"] == "too few seeds").all():
        return [f"Too few seeds to show a difference from {reference} by {where}: run at least two, better five."]
    parts = dict(iter(tests.groupby("verdict", sort=False)))
    sentences = [
        _shown(parts[verdict], verdict, summary, reference) for verdict in ("better", "worse") if verdict in parts
    ]
    rest = tests[~tests["verdict"].isin(["better", "worse"])]
    if not sentences:
        return [f"{_none(list(rest['first']))} was shown to differ from {reference} by {where}."]
    if len(rest):
        sentences.append(f"For {_names(list(rest['first']))} no difference from {reference} was shown.")
    return [f"By {where}, {sentences[0]}", *(sentence[0].upper() + sentence[1:] for sentence in sentences[1:])]


def _none(names: list[str]) -> str:
    return f"None of the {len(names)} other contestants" if len(names) > 1 else f"{names[0]} alone was compared, which"


def _shown(part: pd.DataFrame, verdict: str, summary: Summary, reference: str) -> str:
    part = part.sort_values("difference", ascending=verdict == "worse", kind="stable")
    digits = places((part["high"] - part["low"]) / 2, part["difference"])
    named = [_one(test, summary, digits) for _, test in part.head(MOST_NAMED).iterrows()]
    more = f" and {len(part) - MOST_NAMED} more" if len(part) > MOST_NAMED else ""
    return f"shown to be {verdict} than {reference}: {'; '.join(named)}{more}."


def _one(test: pd.Series, summary: Summary, digits: int) -> str:
    interval = span(test.low, test.high, digits, signed=True)
    by = f"{number(test.difference, digits, signed=True)}, 95 % interval {interval}"
    costs = summary.costs[
        (summary.costs["contestant"] == test["first"]) & (summary.costs["measure"] == "seconds_per_step")
    ]
    time = float(costs["relative"].iloc[0]) if len(costs) else float("nan")
    return f"{test['first']} (by {by}{f', at {number(time, 2)} times the time a step' if isfinite(time) else ''})"


def _names(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMED else f"the other {len(names)} contestants"
