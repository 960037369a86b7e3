"""What a comparison's runs left behind, as tables: all that statistics and report are made from."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mtl_lightning.compare.planning.names import SINGLE_TASK as SINGLE_TASK  # part of this interface

MEASURES = (
    "seconds_per_step",
    "cpu_seconds_per_step",
    "peak_memory",
    "backward_passes",
    "steps",
    "solver_seconds",
    "skipped_steps",
)
"""What a run costs: columns of :attr:`Evidence.costs`."""

BROKEN = ("diverged", "failed", "solver", "timeout")
"""Statuses of runs that were started and gave no scores."""

UNFINISHED = (*BROKEN, "missing")
"""All statuses but ``finished``."""


@dataclass
class Evidence:
    """What was found.

    Every table has one row for each fact ("tidy"). Seeds pair contestants: a seed gives the same first weights of the
    encoder, the same heads and the same order of the data to all of them.

    Attributes:
        name: Of the comparison.
        split: Which split the scores are of, ``test`` or ``val``.
        contestants: Names, in the order of the plan; :data:`SINGLE_TASK` among them if it was run.
        reference: The contestant that costs are relative to and that others are tested against: equal weighting, or
            the first one where there is none.
        seeds: That were planned; where ``replicates`` is ``fold``, these are folds, here and in the tables.
        metrics: ``task, metric, higher_is_better, main``: the metrics of each task; one of each task is its main one.
        scores: ``contestant, seed, task, metric, value`` of the finished runs. Those of :data:`SINGLE_TASK` come from a
            run for each task.
        pairs: ``first, second, seed, task, metric, value``: scores of the models that were trained on two tasks.
        curves: ``contestant, seed, step, epoch, name, value``: what was logged in training, such as
            ``val/<task>/<metric>``, ``val/average``, ``train/loss/<task>`` and ``train/weight/<task>``.
        costs: ``contestant, seed, seconds_per_step, cpu_seconds_per_step, peak_memory, backward_passes, steps,
            solver_seconds, skipped_steps``: ``seconds_per_step`` is the median over optimizer steps, and
            ``cpu_seconds_per_step`` that of the processor's time for them, known of runs on a CPU. ``peak_memory`` is
            the most that a step holds, in bytes. ``backward_passes`` is the mean over optimizer steps of the number of
            backward passes through the encoder, each through one batch of one data set: with K tasks on one data set
            equal weighting takes 1 and a Gramian method K, with each task on a data set of its own both take K.
            ``steps`` and ``skipped_steps`` (not finite) are numbers of the whole run, ``solver_seconds`` a mean over
            steps. Those of
            :data:`SINGLE_TASK` are sums over its runs (memory: the largest). Not a number where unknown.
        cosines: ``contestant, seed, first, second, cosine, conflicting, steps``: for each pair of tasks the mean cosine
            between their gradients, and the share of steps in which it is negative.
        gates: ``contestant, seed, level, task, expert, share``: what each task took of each expert of a sharing, the
            mean over the last epoch; ``level`` is empty where a sharing has one.
        fronts: Names of the contestants that differ in preferences between tasks alone, by front; see
            :mod:`.planning.fronts`.
        one_model: The fronts of which all points are one model that was asked for each preference: one run a seed.
        similarity: ``contestant, seed, first, second, cosine``: between the task embeddings of a sharing, at the end.
        grids: ``contestant, seed, task, path``: the newest picture of images with their labels and predictions, of runs
            with the callback ``PixelGrids``.
        runs: ``contestant, seed, role, status, message, folder, seconds``: every run that was planned. ``role``:
            ``compare``, ``tune`` or ``pair``. ``status``: ``finished``, ``diverged`` (its loss or gradients are not
            finite any more), ``failed`` (it raised), ``solver`` (its weighting's solver failed), ``timeout``,
            ``missing`` (not yet run).
        trials: ``contestant, number, value, settings, status``: the search on validation. ``settings`` is a dict from
            key to value.
        chosen: The settings that the search chose, by contestant.
        facts: What else a reader should know, label to text: data, version, machine, number of parallel runs.
        replicates: What tells the runs of a contestant apart: ``seed``, or ``fold`` of a cross-validation.
        overlap: Examples of a test split divided by those of the training split it leaves, where training sets of runs
            overlap, as those of folds do; 0: runs are independent.
        unscored: The tasks that no run has a score of, say because no example of the split has a label of them.
        delta_m: What Δm is the mean of: the ``main`` metrics, all metrics by ``tasks``, or all ``metrics`` alike.
    """

    name: str
    split: str
    contestants: list[str]
    reference: str
    seeds: list[int]
    metrics: pd.DataFrame
    scores: pd.DataFrame
    pairs: pd.DataFrame
    curves: pd.DataFrame
    costs: pd.DataFrame
    cosines: pd.DataFrame
    runs: pd.DataFrame
    trials: pd.DataFrame
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    delta_m: str = "main"
    replicates: str = "seed"
    overlap: float = 0.0
    unscored: list[str] = field(default_factory=list)
    gates: pd.DataFrame = field(default_factory=pd.DataFrame)
    similarity: pd.DataFrame = field(default_factory=pd.DataFrame)
    grids: pd.DataFrame = field(default_factory=pd.DataFrame)
    fronts: dict[str, list[str]] = field(default_factory=dict)
    one_model: list[str] = field(default_factory=list)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that have scores, in the order of the config."""
        return list(dict.fromkeys(self.metrics["task"]))

    def untrained(self, contestant: str) -> list[str]:
        """The tasks that a contestant left out: its runs finished, and none has a score of them."""
        runs = self.runs[(self.runs["role"] == "compare") & (self.runs["contestant"] == contestant)]
        if not len(runs) or not (runs["status"] == "finished").all():
            return []
        scored = set(self.scores.loc[self.scores["contestant"] == contestant, "task"])
        return [task for task in self.tasks if task not in scored]
