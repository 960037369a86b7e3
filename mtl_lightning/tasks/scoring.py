"""Which metrics a task reports, and how those of single labels become one number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torchmetrics import Metric

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.tasks.evaluated import LOSS
from mtl_lightning.tasks.label_counts import Score
from mtl_lightning.tasks.label_scores import AVERAGES, RATIOS, Average, averaged

Catalogue = Mapping[str, Callable[[], Metric]]
"""What makes each metric that a task can report, by name."""


@dataclass(frozen=True)
class Scoring:
    """What a config says of a task's metrics.

    Attributes:
        names: The metrics to report; null: the task's usual ones.
        average: How metrics of single labels become one, for names that do not end in an average.
        over: Names of the labels to average over; null: all.
    """

    names: Sequence[str] | None = None
    average: Average | None = None
    over: Sequence[str | int] | None = None


def choose(catalogue: Catalogue, usual: Sequence[str], names: Sequence[str] | None, main: str) -> dict[str, Metric]:
    """Fresh metrics by name; the main one is always among them.

    Args:
        catalogue: All that there are.
        usual: Names of those to report where the config does not say.
        names: What the config says.
        main: Name of the main metric; it may be ``loss``.

    Raises:
        UserError: For an unknown name.
    """
    wanted = dict.fromkeys(usual if names is None else names)
    for key, name in [("metrics", name) for name in wanted] + [("main_metric", main)]:
        if name not in catalogue and name != LOSS:
            raise UserError(f"`{key}`: unknown metric '{name}'; {_hint(name, catalogue)}")
    return {name: catalogue[name]() for name in {**wanted, main: None} if name != LOSS}


def ratio_scores(
    ratios: Sequence[str],
    default: Average,
    over: Sequence[int] | None = None,
    absent: bool = False,
    positive: int | None = None,
) -> dict[str, Score]:
    """The scores that are averaged over labels: each by its plain name and by each average.

    Args:
        ratios: Names of :data:`.label_scores.RATIOS`.
        default: The average of plain names.
        over: See :func:`averaged`; so is ``absent``.
        absent: See there.
        positive: Index of the label that plain names are of; null: they are averaged.
    """
    found: dict[str, Score] = {}
    for ratio in ratios:
        one = {"average": default, "over": over} if positive is None else {"average": "micro", "over": [positive]}
        found[ratio] = partial(averaged, score=ratio, absent=absent, **one)
        for average in AVERAGES:
            found[f"{ratio}_{average}"] = partial(averaged, score=ratio, average=average, over=over, absent=absent)
    return found


def check_effect(scoring: Scoring, names: Sequence[str], plain: Sequence[str]) -> None:
    """Raises :class:`UserError` if ``average`` or ``average_over`` has no effect on any of the metrics.

    Args:
        scoring: What the config says.
        names: The metrics that are reported.
        plain: Plain names of those that are averaged over labels.
    """
    reported = f"the metrics reported, {', '.join(names)}; add one of {', '.join(plain)} to `metrics`"
    if scoring.average is not None and not set(names) & set(plain):
        raise UserError(f"`average: {scoring.average}` has no effect on {reported}")
    if scoring.over is not None and not any(name.startswith(tuple(plain)) for name in names):
        raise UserError(f"`average_over` has no effect on {reported}")


def _hint(name: str, catalogue: Catalogue) -> str:
    near = did_you_mean(name, [*catalogue, LOSS])
    ratios = [ratio for ratio in RATIOS if ratio in catalogue]
    short = [known for known in catalogue if not known.endswith(AVERAGES)]
    averages = f"; {', '.join(ratios)} also as {ratios[0]}_macro, {ratios[0]}_micro, …" if ratios else ""
    choices = f"choose from {', '.join([*short, LOSS])}{averages}"
    return f"{near} {choices[0].upper()}{choices[1:]}" if near.endswith("?") else choices
