"""The sentences that a reader of the tables must know."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mtl_lightning.compare.evidence import UNFINISHED, Evidence
from mtl_lightning.compare.statistics.comparisons import FAMILIES
from mtl_lightning.compare.statistics.delta_m import DeltaM
from mtl_lightning.compare.statistics.overall import Overall
from mtl_lightning.compare.statistics.paired_test import MIN_SEEDS
from mtl_lightning.compare.statistics.ranks import Ranks
from mtl_lightning.compare.statistics.score_table import Mask, ScoreTable

FEW_SEEDS = 5
NEAR_ZERO = 0.1
"""Below this share of the largest score, a baseline makes relative gains enormous."""


BUSY = 1.15
"""Time on the wall over the processor's time from which on a machine counts as busy."""


def notes(
    evidence: Evidence,
    table: ScoreTable,
    deltas: DeltaM,
    overall: Overall,
    ranks: Ranks,
    tests: pd.DataFrame,
    affinity_source: str,
) -> list[str]:
    """What is missing, what was left out and why, and how far the figures carry."""
    return [
        *_unscored(evidence),
        *_runs(evidence, table),
        *_not_numbers(table),
        *_splits(evidence),
        *_seeds(table),
        *_folds(evidence),
        *_load(evidence),
        *_losses(table),
        *_deltas(table, deltas, overall, table.main | (evidence.delta_m != "main")),
        *_ranks(table, ranks),
        *_tests(tests),
        *_search(evidence),
        *_affinity(evidence, affinity_source),
        *_one_model(evidence),
    ]


def _one_model(evidence: Evidence) -> Iterator[str]:
    for front in evidence.one_model:
        yield (
            f"{front} is one model a seed that is asked for each preference after training: its "
            f"{len(evidence.fronts[front])} points share runs, costs and curves, which are of equal preferences or of "
            "what the config asks for."
        )


def _unscored(evidence: Evidence) -> Iterator[str]:
    for task in evidence.unscored:
        yield f"{task}: no run has a score of it; is any example of the {evidence.split} split labelled for it?"


def _runs(evidence: Evidence, table: ScoreTable) -> Iterator[str]:
    compared = evidence.runs[evidence.runs["role"] == "compare"]
    for position, name in enumerate(table.contestants):
        finished, planned = int(table.finished[position].sum()), len(table.seeds)
        if finished == planned:
            continue
        if untrained := evidence.untrained(name):
            yield f"{name} is not trained on {', '.join(untrained)}: it is compared by task alone."
            continue
        statuses = compared.loc[compared["contestant"] == name, "status"].value_counts()
        why = ", ".join(f"{statuses[status]} {status}" for status in UNFINISHED if status in statuses)
        count = f"{finished or 'none'} of {planned} seeds finished" + (f" (runs: {why})" if why else "")
        yield f"{name}: {count}; " + (
            "its means, intervals and tests are over those." if finished else "it has no means and is in no test."
        )
    if table.lost[table.others].any():
        yield (
            "A broken run ranks last in its seed and counts as the worse one in the probability of improvement; "
            "means, Δm and paired tests leave it out, which flatters a contestant that breaks."
        )


def _not_numbers(table: ScoreTable) -> Iterator[str]:
    for c, name in enumerate(table.contestants):
        count = (np.isnan(table.values[c]) & table.finished[c][:, None]).sum(axis=0)
        for m in np.flatnonzero(count):
            metric = f"{table.tasks[m]} {table.metrics[m]}"
            yield (
                f"{name}: {metric} is not a number in {count[m]} of {table.finished[c].sum()} finished seeds; its mean "
                "is over the others, and in ranks it is last there."
            )


def _splits(evidence: Evidence) -> Iterator[str]:
    if evidence.split == "val":
        yield (
            "Scores are of the validation split, which checkpoints and settings were chosen on: they are too high, "
            "and more so the more was tried."
        )


def _seeds(table: ScoreTable) -> Iterator[str]:
    count = len(table.seeds)
    if count == 1:
        yield "One seed: there are no intervals and no tests, and no difference is shown to be more than chance."
    elif count < FEW_SEEDS:
        yield f"{count} seeds: intervals are wide, and tests find only large differences. Take {FEW_SEEDS} or more."


def _folds(evidence: Evidence) -> Iterator[str]:
    if evidence.replicates != "fold":
        return
    yield (
        "Runs are the folds of a cross-validation. Their training sets overlap, so that intervals and paired t-tests "
        f"take the variance of a mean to be 1/n + {evidence.overlap:.2g} of a run's, not 1/n (Nadeau and Bengio 2003); "
        "ranks, the critical difference and the probability of improvement take folds for independent."
    )
    if len(evidence.trials):
        yield (
            "The search saw one fold's training and validation data, which are test data of other folds: scores of "
            "what it chose are a little too high."
        )


def _load(evidence: Evidence) -> Iterator[str]:
    times = evidence.costs.reindex(columns=["seconds_per_step", "cpu_seconds_per_step"]).astype(float)
    ratio = float((times["seconds_per_step"] / times["cpu_seconds_per_step"]).median())
    if ratio > BUSY:
        yield (
            f"The machine was busy: a step took {ratio:.1f} times the processor's time for it (median over runs). "
            "Read costs as processor time; how long a run takes depends on what else the machine does."
        )


def _losses(table: ScoreTable) -> Iterator[str]:
    losses = [m for m, metric in enumerate(table.metrics) if metric == "loss"]
    if any(table.judged[losses]):
        tasks = ", ".join(table.tasks[m] for m in losses if table.judged[m])
        yield f"Ranks are made of all metrics but loss, except of {tasks}, where there is nothing else."
    elif losses:
        yield "Ranks are made of all metrics but loss."


def _deltas(table: ScoreTable, deltas: DeltaM, overall: Overall, asked: Mask) -> Iterator[str]:
    if not np.isfinite(table.baseline).any():
        yield (
            f"There is no single-task baseline, so no Δm: contestants are compared by the {overall.name}, whose scales "
            "may differ."
        )
        return
    for m in np.flatnonzero(table.judged & asked & ~deltas.used):
        why = (
            "its single-task score is zero in a seed" if (table.baseline[:, :, m] == 0).any() else "it has no baseline"
        )
        yield f"Δm leaves {table.tasks[m]} {table.metrics[m]} out: {why}."
    yield from _near_zero(table, deltas.used & asked)
    finished = table.finished[table.others].any(axis=0)
    without = finished & ~np.isfinite(table.baseline[table.others][:, :, deltas.used]).all(axis=(0, 2))
    if without.any():
        missing = ", ".join(str(table.seeds[s]) for s in np.flatnonzero(without))
        yield f"Δm lacks seed {missing}, where the single-task baseline is incomplete."
    if not overall.name.startswith("Δm"):
        yield f"As the baseline lacks most seeds, contestants are compared by the {overall.name}."


def _near_zero(table: ScoreTable, used: Mask) -> Iterator[str]:
    size = np.abs(table.values)
    largest = np.where(np.isnan(size), 0, size).max(axis=(0, 1), initial=0)
    baseline = np.where(np.isnan(table.baseline), np.inf, np.abs(table.baseline)).min(axis=(0, 1), initial=np.inf)
    for m in np.flatnonzero(used & (baseline < NEAR_ZERO * largest)):
        yield (
            f"{table.tasks[m]} {table.metrics[m]}: the single-task score is near zero in a seed, so that its relative "
            "gain dominates Δm; read the scores themselves."
        )


def _ranks(table: ScoreTable, ranks: Ranks) -> Iterator[str]:
    complete = ~np.isnan(ranks.by_seed).any(axis=0)
    if ranks.pool and not complete.all():
        yield (
            f"Ranks are over the {complete.sum()} of {len(table.seeds)} seeds in which each of the {len(ranks.pool)} "
            "contestants of the pool was run."
        )
    if complete.sum() > 1 and len(ranks.pool) > 1:
        yield (
            f"The critical difference takes the {complete.sum()} seeds for its blocks, not seeds times tasks, as the "
            "tasks of one run are not independent."
        )


def _tests(tests: pd.DataFrame) -> Iterator[str]:
    counts = tests["p"].notna().groupby(tests["family"]).sum()
    shown = [f"{counts[family]} ({label})" for family, label in FAMILIES.items() if counts.get(family)]
    if shown:
        yield (
            f"p values are of paired t-tests, corrected by Holm's method within each family: {', '.join(shown)}. "
            "Where nothing differs, a family makes a false claim in at most 5 % of reports. Intervals are uncorrected."
        )
    if (tests["p"].isna() & (tests["num_seeds"] < MIN_SEEDS)).any():
        yield f"A test needs {MIN_SEEDS} seeds that both contestants finished."


def _search(evidence: Evidence) -> Iterator[str]:
    if evidence.trials.empty:
        return
    most = evidence.trials["contestant"].value_counts().max()
    yield (
        f"Intervals and tests hold for the settings that a search chose (trials of a single run each, {most} at most "
        "for each contestant); they do not include the luck of that search."
    )
    for name, trials in evidence.trials.groupby("contestant"):
        if (trials["status"] != "finished").all():
            yield f"{name}: none of its trials finished; its runs have the config's settings."
        elif not trials["settings"].map(bool).any():
            yield f"{name}: it has nothing to search; its runs have the config's settings."


def _affinity(evidence: Evidence, source: str) -> Iterator[str]:
    if source == "pairs":
        yield "The suggested grouping rests on pairs of tasks, which predict the gain of larger groups only roughly."
    elif source == "cosines":
        yield (
            f"The suggested grouping rests on cosines between gradients in the runs of {evidence.reference}: a hint "
            "at most, as they do not say which tasks generalise better together. Runs on pairs of tasks tell more."
        )
    if source != "pairs" and len(evidence.pairs):
        yield "The runs on pairs of tasks are not used: they lack single-task runs of the same seeds to compare with."
