"""What the statistics make of the evidence, as tables that the report shows."""

from dataclasses import dataclass, field

import pandas as pd


@dataclass
class Summary:
    """What a comparison says.

    Attributes:
        scores: ``contestant, task, metric, mean, low, high, num_seeds``: means over seeds with 95 % confidence
            intervals (Student's t); the interval of one seed is not a number.
        deltas: ``contestant, seed, convention, value``: Δm against the single-task baseline of the same seed, in per
            cent; higher is better. ``convention``: ``main`` (the mean over the tasks' main metrics), ``tasks`` (the
            mean over tasks of the mean over a task's metrics) or ``metrics`` (the mean over all metrics). Empty without
            a baseline.
        delta_m: ``contestant, convention, mean, low, high, num_seeds``.
        ranks: ``contestant, mean_rank, low, high, num_seeds, rank_of_means``; rank 1 is best. ``mean_rank`` is the mean
            of the ranks within seeds, to which the interval belongs; ``rank_of_means`` ranks means over seeds, as
            papers do.
        pool: Which contestants the ranks are taken over.
        overall: What contestants are compared by, in words: "Δm (main metrics)" or "mean of the main metrics".
        tests: ``family, first, second, task, metric, difference, low, high, p, p_corrected, effect, effect_low,
            effect_high, num_seeds, verdict``: ``first`` minus ``second``, so that positive is better for ``first``.
            ``family``: ``reference`` (each contestant against the reference, overall), ``pairs`` (each pair once,
            overall) or ``tasks`` (each contestant against the reference, on each task's main metric; elsewhere ``task``
            and ``metric`` are empty). ``verdict``: ``better``, ``worse``, ``no difference shown`` or ``too few seeds``.
        improvement: ``first, second, probability, low, high``: probability that a run of ``first`` is better overall
            than one of ``second``, with a bootstrap interval.
        costs: ``contestant, measure, mean, low, high, relative, relative_low, relative_high``: ``measure`` is a column
            of the evidence's costs; ``relative`` is the mean over seeds of the ratio to the reference's run of the same
            seed, with a 95 % confidence interval.
        conflicts: ``contestant, cosine, conflicting, skipped_steps, diverged, failed, solver, timeout``: means over
            pairs, steps and seeds of the cosine and the share of conflicts; sums over seeds of skipped steps; numbers
            of runs by status.
        groups: Contestants that the critical-difference diagram joins by a bar, best mean rank first.
        critical_difference: Of mean ranks; not a number with fewer than two seeds.
        friedman_p: Of the test that all contestants rank alike.
        affinity: Matrix from task to task, row and column names are tasks: how much training beside the column's task
            helps the row's; not a number on the diagonal.
        affinity_source: What it was taken from: ``pairs`` (relative gain in per cent), ``cosines``, or nothing.
        grouping: The suggested groups of tasks.
        notes: Sentences a reader must know: which contestants lack seeds, what was left out and why.
        fronts: ``front, measure, mean, low, high, num_seeds, difference, difference_low, difference_high``; see
            :func:`.fronts_table`.
        convention: In which convention Δm is shown.
    """

    scores: pd.DataFrame
    deltas: pd.DataFrame
    delta_m: pd.DataFrame
    ranks: pd.DataFrame
    pool: list[str]
    overall: str
    tests: pd.DataFrame
    improvement: pd.DataFrame
    costs: pd.DataFrame
    conflicts: pd.DataFrame
    groups: list[list[str]]
    critical_difference: float
    friedman_p: float
    affinity: pd.DataFrame
    affinity_source: str
    grouping: list[list[str]]
    notes: list[str] = field(default_factory=list)
    convention: str = "main"
    fronts: pd.DataFrame = field(default_factory=pd.DataFrame)
