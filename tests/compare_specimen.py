"""An invented comparison, and a summary of it by hand, to look at reports and to test them without training."""

from itertools import combinations

import numpy as np
import pandas as pd

from mtl_lightning.compare.evidence import SINGLE_TASK, Evidence
from mtl_lightning.compare.statistics.summary import Summary

METHODS = ["equal", "uncertainty", "upgrad", "nashmtl", "pcgrad"]
MANY = ["equal", *(f"method {number}" for number in range(29))]


def evidence(contestants=METHODS, tasks=("intent", "slots"), seeds=5, baseline=True, lost=()):
    """Scores drawn around a level for each contestant; the runs of those in ``lost`` failed."""
    random = np.random.default_rng(7)
    names = [*contestants, *([SINGLE_TASK] if baseline else [])]
    level = {name: 0.9 + 0.012 * random.normal() for name in names}
    tables: dict[str, list[tuple]] = {key: [] for key in ("scores", "curves", "costs", "cosines", "runs", "trials")}
    for name in names:
        for seed in range(seeds):
            folder = f"runs/{name[:20]}-{seed}"
            if name in lost:
                message = "RuntimeError: the <b>encoder</b> raised | and said so\nin two lines"
                tables["runs"].append((name, seed, "compare", "failed", message, folder, 12.5))
                continue
            tables["runs"].append((name, seed, "compare", "finished", "", folder, 60.0 + seed))
            slowness = 1 + 0.3 * names.index(name)
            tables["costs"].append((name, seed, 0.02 * slowness, 2e8 * slowness, 1.0, 400, 0.001, 0))
            for number, task in enumerate(tasks):
                final = level[name] - 0.02 * number + 0.004 * random.normal()
                tables["scores"] += [(name, seed, task, "accuracy", final), (name, seed, task, "loss", 1 - final)]
                for epoch in range(6):
                    value = final * (1 - np.exp(-1 - epoch)) + 0.003 * random.normal()
                    tables["curves"].append((name, seed, 80 * epoch, epoch, f"val/{task}/accuracy", value))
                    tables["curves"].append((name, seed, 80 * epoch, epoch, f"train/weight/{task}", 1 + 0.1 * epoch))
            for epoch in range(6):
                value = level[name] * (1 - np.exp(-1 - epoch))
                tables["curves"].append((name, seed, 80 * epoch, epoch, "val/average", value))
            if name != SINGLE_TASK:
                for first, second in combinations(tasks, 2):
                    tables["cosines"].append((name, seed, first, second, 0.3 * random.normal(), 0.4, 400))
        tables["trials"] += [(name, trial, 0.8 + 0.01 * trial, {"lr": 0.001 * trial}, "finished") for trial in (1, 2)]
    metrics = [(t, m, h, main) for t in tasks for m, h, main in (("accuracy", True, True), ("loss", False, False))]
    columns = {
        "scores": "contestant seed task metric value",
        "curves": "contestant seed step epoch name value",
        "costs": "contestant seed seconds_per_step peak_memory backward_passes steps solver_seconds skipped_steps",
        "cosines": "contestant seed first second cosine conflicting steps",
        "runs": "contestant seed role status message folder seconds",
        "trials": "contestant number value settings status",
    }
    frames = {key: pd.DataFrame(rows, columns=columns[key].split()) for key, rows in tables.items()}
    pairs = [
        (*pair, seed, task, "accuracy", 0.88 + 0.01 * random.normal())
        for pair in combinations(tasks, 2)
        for seed in range(seeds)
        for task in pair
    ]
    return Evidence(
        name="snips",
        split="test",
        contestants=names,
        reference=contestants[0],
        seeds=list(range(seeds)),
        metrics=pd.DataFrame(metrics, columns=["task", "metric", "higher_is_better", "main"]),
        pairs=pd.DataFrame(pairs, columns=["first", "second", "seed", "task", "metric", "value"]),
        chosen={name: {"lr": 0.002} for name in names},
        facts={"data": "snips, 1,500 sentences", "machine": "2 cores"},
        **frames,
    )


def _interval(values):
    values = np.asarray(values, dtype=float)
    half = 2.0 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return values.mean(), values.mean() - half, values.mean() + half, len(values)


def _deltas(found):
    scores = found.scores.merge(found.metrics, on=["task", "metric"])
    base = scores[scores.contestant == SINGLE_TASK].drop(columns=["contestant", "main", "higher_is_better"])
    both = scores.merge(base, on=["seed", "task", "metric"], suffixes=("", "_base"))
    sign = both.higher_is_better.map({True: 100.0, False: -100.0})
    both["gain"] = sign * (both.value - both.value_base) / both.value_base
    rows = [
        (name, seed, convention, part.gain.mean())
        for (name, seed), part in both.groupby(["contestant", "seed"], sort=False)
        for convention in ("main", "tasks", "metrics")
        if name != SINGLE_TASK
    ]
    return pd.DataFrame(rows, columns=["contestant", "seed", "convention", "value"])


def summary(found):
    """What the statistics would say, near enough for a page."""
    scores, deltas = found.scores, _deltas(found)
    means = [
        (*key, *_interval(part.value)) for key, part in scores.groupby(["contestant", "task", "metric"], sort=False)
    ]
    delta_m = [(*key, *_interval(part.value)) for key, part in deltas.groupby(["contestant", "convention"], sort=False)]
    main = scores.merge(found.metrics[found.metrics.main], on=["task", "metric"])
    overall = main.pivot_table(index="seed", columns="contestant", values="value")
    present = [name for name in found.contestants if name in overall and name != SINGLE_TASK]
    ranks = overall[present].rank(axis=1, ascending=False)
    kinds = {"tests": [], "improvement": []}
    for first, second in combinations(present, 2):
        mean, low, high, count = _interval(overall[first] - overall[second])
        verdict = (
            "too few seeds" if count < 2 else "better" if low > 0 else "worse" if high < 0 else "no difference shown"
        )
        p = 0.01 if verdict in ("better", "worse") else 0.5
        row = (first, second, "", "", mean, low, high, p, min(1, 3 * p), 0.6, 0.1, 1.1, count, verdict)
        kinds["tests"].append(("pairs", *row))
        if first == found.reference:
            turned = {"better": "worse", "worse": "better"}.get(verdict, verdict)
            kinds["tests"].append(("reference", second, first, "", "", -mean, -high, -low, *row[7:-1], turned))
        kinds["improvement"] += [(first, second, 0.4, 0.2, 0.6), (second, first, 0.6, 0.4, 0.8)]
    costs = []
    for measure in (
        "seconds_per_step",
        "peak_memory",
        "backward_passes",
        "solver_seconds",
        "skipped_steps",
        "steps",
    ):
        base = found.costs[found.costs.contestant == found.reference].set_index("seed")[measure].replace(0, np.nan)
        for name, part in found.costs.groupby("contestant", sort=False):
            ratios = (part.set_index("seed")[measure] / base).reindex(part.seed)
            costs.append((name, measure, *_interval(part[measure])[:3], *_interval(ratios)[:3]))
    conflicts = []
    for name in found.contestants:
        part, runs = found.cosines[found.cosines.contestant == name], found.runs[found.runs.contestant == name]
        counts = [(runs.status == status).sum() for status in ("diverged", "failed", "solver", "timeout")]
        conflicts.append((name, part.cosine.mean(), part.conflicting.mean(), 0, *counts))
    tasks = found.tasks
    affinity = pd.DataFrame(np.random.default_rng(3).normal(size=(len(tasks),) * 2), index=tasks, columns=tasks)
    affinity = affinity.mask(np.eye(len(tasks), dtype=bool)) if len(tasks) > 1 else pd.DataFrame()
    columns = "family first second task metric difference low high p p_corrected effect effect_low effect_high"
    order = list(ranks.mean().sort_values().index)
    return Summary(
        scores=pd.DataFrame(means, columns=["contestant", "task", "metric", "mean", "low", "high", "num_seeds"]),
        deltas=deltas,
        delta_m=pd.DataFrame(delta_m, columns=["contestant", "convention", "mean", "low", "high", "num_seeds"]),
        ranks=pd.DataFrame(
            [(name, *_interval(ranks[name])) for name in present],
            columns=["contestant", "mean_rank", "low", "high", "num_seeds"],
        ),
        pool=present,
        overall="Δm (main metrics)" if len(deltas) else "mean of the main metrics",
        tests=pd.DataFrame(kinds["tests"], columns=f"{columns} num_seeds verdict".split()),
        improvement=pd.DataFrame(kinds["improvement"], columns=["first", "second", "probability", "low", "high"]),
        costs=pd.DataFrame(
            costs,
            columns=["contestant", "measure", "mean", "low", "high", "relative", "relative_low", "relative_high"],
        ),
        conflicts=pd.DataFrame(
            conflicts,
            columns=["contestant", "cosine", "conflicting", "skipped_steps", "diverged", "failed", "solver", "timeout"],
        ),
        groups=[order[:3], order[2:5]],
        critical_difference=1.7 if len(found.seeds) > 1 else float("nan"),
        friedman_p=0.2 if len(found.seeds) > 1 else float("nan"),
        affinity=affinity,
        affinity_source="cosines" if len(tasks) > 1 else "",
        grouping=[list(tasks)],
        notes=[f"The runs of {name} did not all finish." for name in found.contestants if name not in overall],
    )
