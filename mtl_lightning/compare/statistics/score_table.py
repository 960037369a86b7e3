"""The scores of all runs as one array, which the statistics compute with."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mtl_lightning.compare.evidence import BROKEN, Evidence
from mtl_lightning.compare.planning.names import baseline_of, is_single_task
from mtl_lightning.errors import UserError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ScoreTable:
    """Scores [C, S, M] of C contestants with S seeds on M metrics.

    Attributes:
        contestants: In the order of the plan.
        seeds: Ascending.
        tasks: Of each metric, [M].
        metrics: Their names, [M].
        sign: 1 where higher is better, else -1, [M].
        main: Whether it is its task's main metric, [M].
        values: Not a number where there is no finite score.
        finished: Whether the run left scores of every task, [C, S].
        overlap: Of training sets, see :attr:`.Evidence.overlap`.
        lost: Whether the run broke: it diverged, failed or took too long, [C, S]. A run that was not started did not.
    """

    contestants: list[str]
    seeds: list[int]
    tasks: list[str]
    metrics: list[str]
    sign: Array
    main: Mask
    values: Array
    finished: Mask
    lost: Mask
    overlap: float = 0.0

    @property
    def others(self) -> list[int]:
        """Positions of the contestants that train one model for all tasks."""
        return [position for position, name in enumerate(self.contestants) if not is_single_task(name)]

    @property
    def baseline(self) -> Array:
        """Scores [C, S, M] of the single-task models of each contestant's architecture; not a number without any."""
        baseline = np.full(self.values.shape, np.nan)
        for position, name in enumerate(self.contestants):
            if (own := baseline_of(name, self.contestants)) in self.contestants:
                baseline[position] = self.values[self.contestants.index(own)]
        return baseline

    @property
    def judged(self) -> Mask:
        """The metrics that Δm and ranks are made of, [M].

        These are all but ``loss``, which says little that the metrics do not and whose scale is arbitrary; a task that
        has nothing else is judged by its loss. Metrics that no run has a finite score of are left out.
        """
        metrics = pd.Series(self.metrics, dtype=object)
        plain = metrics.ne("loss")
        alone = ~plain.groupby(np.array(self.tasks, dtype=object)).transform("any")
        finite = np.isfinite(self.values[self.others]).any(axis=(0, 1))
        return np.asarray(plain | alone, dtype=bool) & np.asarray(finite)


def score_table(evidence: Evidence) -> ScoreTable:
    """Arranges the scores.

    Raises:
        UserError: If a score stands twice in the evidence.
    """
    metrics, seeds = evidence.metrics, sorted(evidence.seeds)
    keys = pd.MultiIndex.from_frame(metrics[["task", "metric"]])
    scores = evidence.scores
    place = np.stack(
        [
            pd.Index(evidence.contestants).get_indexer(scores["contestant"]),
            pd.Index(seeds).get_indexer(scores["seed"]),
            keys.get_indexer(pd.MultiIndex.from_frame(scores[["task", "metric"]])),
        ]
    )
    known = (place >= 0).all(axis=0)
    c, s, m = place[:, known]
    _refuse_twins(scores[known])
    values = np.full((len(evidence.contestants), len(seeds), len(metrics)), np.nan)
    values[c, s, m] = pd.to_numeric(scores["value"]).to_numpy(float)[known]
    found = np.zeros(values.shape, dtype=bool)
    found[c, s, m] = True
    by_task = [found[:, :, np.array(metrics["task"] == task)].any(axis=2) for task in evidence.tasks]
    finished = np.all(by_task, axis=0)
    return ScoreTable(
        contestants=list(evidence.contestants),
        seeds=seeds,
        tasks=list(metrics["task"]),
        metrics=list(metrics["metric"]),
        sign=np.where(metrics["higher_is_better"].astype(bool), 1.0, -1.0),
        main=metrics["main"].to_numpy(dtype=bool),
        values=np.where(np.isfinite(values), values, np.nan),
        finished=finished,
        lost=_broken(evidence, seeds) & ~finished,
        overlap=evidence.overlap,
    )


def _refuse_twins(scores: pd.DataFrame) -> None:
    keys = ["contestant", "seed", "task", "metric"]
    twins = scores[scores.duplicated(keys)]
    if len(twins):
        name = ", ".join(f"{key} {twins.iloc[0][key]}" for key in keys)
        raise UserError(f"the score of {name} is there twice; keep one of the two runs")


def _broken(evidence: Evidence, seeds: list[int]) -> Mask:
    runs = evidence.runs[(evidence.runs["role"] == "compare") & evidence.runs["status"].isin(BROKEN)]
    broken = set(zip(runs["contestant"], runs["seed"], strict=True))
    rows = [[(contestant, seed) in broken for seed in seeds] for contestant in evidence.contestants]
    return np.array(rows, dtype=bool).reshape(len(evidence.contestants), len(seeds))
