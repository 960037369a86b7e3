"""Whether our ranking is the published one: ``python -m experiments.multimnist.agreement FOLDER/results.csv``."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

PUBLISHED = {"equal": 0.948, "imtl": 0.949, "mgda": 0.948, "pcgrad": 0.948, "graddrop": 0.935, "rlw": 0.9415}
"""Mean test accuracy in Kurin et al. (NeurIPS 2022). RLW: the mean of its two variants, .943 and .940, which leaves its
place among the others as it is."""

COEFFICIENTS = {"Spearman's rho": spearmanr, "Kendall's tau-b": kendalltau}


class Interval(NamedTuple):
    """An estimate with its bootstrap interval."""

    value: float
    low: float
    high: float


def accuracies(file: Path) -> pd.DataFrame:
    """Mean test accuracy over the tasks, a row for each published method, a column for each seed.

    Args:
        file: A comparison's ``results.csv``.

    Raises:
        SystemExit: If it has not three of the methods with a seed in common.
    """
    table = pd.read_csv(file)
    kept = table["metric"].eq("accuracy") & table["contestant"].isin(list(PUBLISHED))
    runs = table[kept].pivot_table("value", "contestant", "seed", aggfunc="mean")
    found = runs.reindex([name for name in PUBLISHED if name in runs.index]).dropna(axis=1)
    if len(found) < 3 or found.shape[1] == 0:
        raise SystemExit(f"{file} needs three of {', '.join(PUBLISHED)} with a seed in common")
    return found


def agreement(found: pd.DataFrame, draws: int = 10_000, seed: int = 0) -> dict[str, Interval]:
    """Rank correlations between our means over seeds and the published ones, by name.

    Intervals are 95 % percentile intervals over draws of seeds with replacement, the same draw for all methods.

    Args:
        found: What :func:`accuracies` returned.
        draws: Of the bootstrap.
        seed: Of the bootstrap.
    """
    published = [PUBLISHED[name] for name in found.index]
    values = found.to_numpy()
    drawn = np.random.default_rng(seed).integers(values.shape[1], size=(draws, values.shape[1]))
    means, counts = np.unique(np.round(values[:, drawn].mean(axis=2), 9), axis=1, return_counts=True)
    result = {}
    for name, correlate in COEFFICIENTS.items():
        samples = np.repeat([_correlation(correlate, column, published) for column in means.T], counts)
        low, high = np.quantile(samples, [0.025, 0.975])
        value = _correlation(correlate, np.round(values.mean(axis=1), 9), published)
        result[name] = Interval(value, float(low), float(high))
    return result


def markdown(found: pd.DataFrame, draws: int = 10_000) -> str:
    """The comparison in two tables, and what it can say."""
    best = found.mean(axis=1).rank(ascending=False)
    theirs = pd.Series(PUBLISHED)[list(found.index)].rank(ascending=False)
    lines = ["| method | ours | ± sd over seeds | our rank | published | its rank |", "|---|---|---|---|---|---|"]
    for name, row in found.iterrows():
        ours = f"{row.mean():.4f} | {row.std():.4f} | {best[name]:g}"
        lines.append(f"| {name} | {ours} | {PUBLISHED[str(name)]:.4f} | {theirs[name]:g} |")
    lines += ["", f"| correlation of the {len(found)} methods' ranks | value | 95 % interval |", "|---|---|---|"]
    for coefficient, (value, low, high) in agreement(found, draws).items():
        lines.append(f"| {coefficient} | {value:.2f} | {low:.2f} to {high:.2f} |")
    spread = found.mean(axis=1).max() - found.mean(axis=1).min()
    noise = np.sqrt(found.var(axis=1).mean())
    lines += ["", _verdict(spread, noise, found.shape[1])]
    return "\n".join(lines) + "\n"


def _verdict(spread: float, noise: float, seeds: int) -> str:
    return (
        f"From the best to the worst method there are {spread:.4f}, and a method's own accuracy varies by {noise:.4f} "
        f"(standard deviation over {seeds} seeds). Four of the six published figures lie within 0.001, so that their "
        "order among themselves means nothing; what can agree is that RLW and GradDrop come last."
    )


def _correlation(correlate: Callable[..., Any], ours: NDArray[np.float64], published: Sequence[float]) -> float:
    """None is shown, 0, where all of ours are equal (scipy would warn)."""
    if np.ptp(ours) == 0:
        return 0.0
    return float(correlate(ours, published).statistic)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, and writes them where asked to."""
    parser = argparse.ArgumentParser(prog="python -m experiments.multimnist.agreement", description=__doc__)
    parser.add_argument("results", type=Path, help="results.csv of a comparison")
    parser.add_argument("--output", type=Path, help="Markdown file to write; default: print only")
    options = parser.parse_args(arguments)
    text = markdown(accuracies(options.results))
    print(text, end="")
    if options.output:
        options.output.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
