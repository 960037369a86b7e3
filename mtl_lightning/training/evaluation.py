"""Metrics of all tasks over an evaluation, and what they add up to."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from mtl_lightning.tasks import Task
from mtl_lightning.tasks.correlation import is_constant
from mtl_lightning.training.empty_states import give_types
from mtl_lightning.training.episode_spread import Spreads, intervals_of, scores_of_episode
from mtl_lightning.training.extents import Extents
from mtl_lightning.training.returned import as_score, check_correct, check_loss
from mtl_lightning.training.undefined import Undefined

__all__ = ["REPORT", "Evaluation", "Means", "Results", "labelled_tasks", "labelling"]

REPORT = "label_counts"
"""Name of the metric of a task that feeds its per-label report."""


class Part(NamedTuple):
    """What metrics are taken over: the examples of a task, or those of one of its data sets."""

    task: str
    dataset: str | None = None


@dataclass
class Results:
    """What an evaluation found.

    Attributes:
        metrics: By task and metric, ``loss`` among them.
        joint: By data set that labels several tasks, the fraction of its examples on which all tasks with a notion of
            "right" are right.
        average: Unweighted mean of the tasks' main metrics; one that is better when lower counts negative, one that is
            not defined on these examples does not count.
        reports: By task and label, ``precision``, ``recall``, ``f1`` and ``support``.
        constant: The tasks whose targets are all equal, but for rounding.
        scores: What the average is taken of.
        by_dataset: ``metrics`` by task and data set, of tasks that several data sets label.
        by_preference: What the model reached where it was asked for others of the preferences between tasks.
    """

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    joint: dict[str, float] = field(default_factory=dict)
    average: float = math.nan
    reports: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    constant: set[str] = field(default_factory=set)
    scores: list[float] = field(default_factory=list)
    by_dataset: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    by_preference: "list[tuple[Mapping[str, float], Results]]" = field(default_factory=list)

    def undefined(self, task: str) -> list[str]:
        """The metrics that are NaN because of the targets: some labels are absent, or all targets are equal.

        A metric that is NaN for another reason, say because all predictions are the same, is the model's fault.
        """
        values = self.metrics[task].items() if self.absent(task) or task in self.constant else ()
        return [metric for metric, value in values if math.isnan(value)]

    def absent(self, task: str) -> list[str]:
        """The labels of a task that no example has."""
        return [label for label, row in self.reports[task].items() if row["support"] == 0]

    def to_json(self) -> dict[str, Any]:
        """``{task: {metric: value}, …, "average": value}``; NaN is null.

        With ``joint``, ``by_dataset`` and ``by_preference``, a list of ``{"preference": …, "scores": …}``, if any.
        """
        more = {"joint": self.joint, "by_dataset": self.by_dataset}
        found = {**self.metrics, **{name: scores for name, scores in more.items() if scores}}
        asked = [{"preference": dict(one), "scores": results.to_json()} for one, results in self.by_preference]
        return {**_plain({**found, "average": self.average}), **({"by_preference": asked} if asked else {})}


class Evaluation(nn.Module):
    """Collects one evaluation over all tasks.

    Args:
        tasks: The tasks, built.
        datasets: The data sets that label several tasks. They are named beforehand, so that all processes hold the same
            metrics whatever batches they see.
        several: The data sets that label a task, of tasks that are scored on each of them besides.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        datasets: Sequence[str] = (),
        several: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.names = list(tasks)
        self.several = dict(several)
        self.parts = [Part(name) for name in tasks]
        self.parts += [Part(name, dataset) for name, those in several.items() for dataset in those]
        self._place = {part: place for place, part in enumerate(self.parts)}
        self.losses = Means(len(self.parts))
        self.metrics = nn.ModuleList(tasks[part.task].metrics() for part in self.parts)
        self.datasets = list(datasets)
        self.joint = Means(len(self.datasets))
        self.extents = Extents(len(self.parts))
        self.episodes = Spreads(len(self.parts))
        self._undefined = Undefined()

    def update(
        self,
        dataset: str,
        tasks: Mapping[str, Task],
        logits: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        counts: Mapping[str, int],
        groups: Mapping[str, Tensor] = MappingProxyType({}),
        is_episode: bool = False,
    ) -> None:
        """Feeds a batch of one data set; tasks without a label in it are passed over.

        Args:
            dataset: Its name.
            tasks: All tasks.
            logits: By task.
            targets: Encoded labels by task.
            counts: Number of labels present by task.
            groups: By task with a ``group``, the number of each example's [B].
            is_episode: Whether the batch is the query set of an episode.
        """
        right, joint = [], dataset in self.datasets
        for name, task in ((name, tasks[name]) for name in logits):
            if not counts[name] and not joint:
                continue
            found = task.with_targets(logits[name], targets[name])
            if counts[name]:
                loss = task.loss(found, targets[name])
                check_loss(loss, name)
                for place in self._places(name, dataset):
                    self.losses.update(place, loss * counts[name], counts[name])
                    self.extents.update(place, targets[name], task.missing)
                    if is_episode:
                        self.episodes.update(place, *scores_of_episode(task, found, targets[name], loss))
                    task.update(self._of(place), found, targets[name])
                    if name in groups:
                        task.update_grouped(self._of(place), found, targets[name], groups[name])
            if joint and (correct := task.correct(found, targets[name])) is not None:
                check_correct(correct, name, len(targets[name]))
                right.append(correct)
        if len(right) > 1:
            all_right = torch.stack(right).prod(0)
            self.joint.update(self.datasets.index(dataset), all_right.nansum(), (~all_right.isnan()).sum())

    def compute(self, tasks: Mapping[str, Task]) -> Results:
        """Results over all processes; tasks that had no label anywhere are left out."""
        results = Results()
        losses, counts = _synchronised(self.losses)
        low, high = _synchronised(self.extents)
        intervals = intervals_of(_synchronised(self.episodes))
        constant = is_constant(low, high, low.new_tensor([tasks[part.task].rounding for part in self.parts]))
        found = zip(self.parts, losses.tolist(), counts.tolist(), low.tolist(), constant.tolist(), strict=True)
        for place, (part, loss, count, value, is_one) in enumerate(found):
            if count:
                scores, report = self._scores(place, tasks[part.task])
                if is_one:
                    scores.update(dict.fromkeys(scores.keys() & set(tasks[part.task].undefined(value)), math.nan))
                scores["loss"] = loss
                scores.update(intervals[place])
                if part.dataset is not None:
                    results.by_dataset.setdefault(part.task, {})[part.dataset] = scores
                    continue
                results.metrics[part.task], results.reports[part.task] = scores, report
                results.constant |= {part.task} if is_one else set()
        results.by_dataset = {name: found for name, found in results.by_dataset.items() if len(found) > 1}
        means, counts = _synchronised(self.joint)
        joint = zip(self.datasets, means.tolist(), counts.tolist(), strict=True)
        results.joint = {name: mean for name, mean, count in joint if count}
        results.scores = _scores(tasks, results)
        results.average = sum(results.scores) / len(results.scores) if results.scores else math.nan
        return results

    def _scores(self, place: int, task: Task) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """The metrics of a part, and its report per label."""
        name = self.parts[place].task
        give_types(self._of(place), task)
        values = _synchronised(self._of(place))
        report = task.report(values.pop(REPORT)) if REPORT in values else {}
        return {k: as_score(v, f"metric '{k}' of task '{name}'") for k, v in values.items()}, {
            label: {k: as_score(v, f"'{k}' of '{label}' of task '{name}'") for k, v in row.items()}
            for label, row in report.items()
        }

    def warn_of_undefined(self, results: Results, split: str) -> None:
        """Logs once what is not defined, and why; see :class:`.undefined.Undefined`."""
        self._undefined.warn(self.names, results, split)

    def reset(self) -> None:
        """Forgets all batches."""
        self.losses.reset()
        self.extents.reset()
        self.episodes.reset()
        for place in range(len(self.parts)):
            self._of(place).reset()
        self.joint.reset()

    def _places(self, task: str, dataset: str) -> list[int]:
        """The parts that examples belong to."""
        return [self._place[part] for part in (Part(task), Part(task, dataset)) if part in self._place]

    def _of(self, place: int) -> MetricCollection:
        metrics = self.metrics[place]
        assert isinstance(metrics, MetricCollection)
        return metrics


def labelled_tasks(module: Any) -> dict[str, Task]:
    """The tasks that can be evaluated, by name: those that a data set labels, where there are data sets.

    Args:
        module: The MultiTaskModule, with its trainer.
    """
    sources = getattr(module.trainer.datamodule, "datasets", {})
    labelled = {task for source in sources.values() for task in source.labels}
    return {name: task for name, task in module.tasks.items() if not sources or name in labelled}


def labelling(module: Any) -> dict[str, list[str]]:
    """The data sets that label each task, of tasks that several label.

    Args:
        module: The MultiTaskModule, with its trainer.
    """
    sources = getattr(module.trainer.datamodule, "datasets", {})
    found = {task: [name for name, source in sources.items() if task in source.labels] for task in module.tasks}
    return {task: names for task, names in found.items() if len(names) > 1}


class Means(Metric):
    """Several means, and the numbers of values they are taken over.

    Args:
        size: Number of means N.
    """

    full_state_update = False
    totals: Tensor
    counts: Tensor

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("totals", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, index: int, total: Tensor, count: Tensor | int) -> None:
        """Adds ``count`` values whose sum is ``total`` to the mean with this index."""
        self.totals[index] += total
        self.counts[index] += count

    def compute(self) -> Tensor:
        """Means, NaN where there is no value, and numbers of values [2, N]."""
        return torch.stack([self.totals / self.counts, self.counts])


def _synchronised(metrics: Metric | MetricCollection) -> Any:
    with warnings.catch_warnings():
        # A process may have had no label of a task that others had labels of; its counts of 0 are right.
        warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
        # Where targets are all equal, that is said once, with the task and the split.
        warnings.filterwarnings("ignore", message="The variance of predictions or target is close to zero")
        return metrics.compute()


def _scores(tasks: Mapping[str, Task], results: Results) -> list[float]:
    """The main metrics that are defined, negative where lower is better."""
    return [
        values[tasks[name].main_metric] * (1 if tasks[name].higher_is_better else -1)
        for name, values in results.metrics.items()
        if tasks[name].main_metric not in results.undefined(name)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value if math.isfinite(value) else None
