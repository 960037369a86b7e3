"""Which data sets have labels of the tasks that are trained."""

from collections.abc import Iterable, Mapping, Sequence

from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError, did_you_mean


def labelling(datasets: dict[str, DataSource], tasks: Sequence[str] | None) -> dict[str, DataSource]:
    """The data sets that label any of the tasks; of others they forget the labels.

    Args:
        datasets: By name.
        tasks: Their names; null: all that are labelled.

    Raises:
        UserError: If no data set labels one of them.
    """
    if tasks is None:
        return datasets
    labelled = {task for source in datasets.values() for task in source.labels}
    if unknown := [task for task in tasks if task not in labelled]:
        raise UserError(f"data.tasks: no data set labels '{unknown[0]}'; {did_you_mean(unknown[0], labelled)}")
    for source in datasets.values():
        source.keep_tasks(tasks)
    return {name: source for name, source in datasets.items() if source.labels}


def check_labelled(datasets: Mapping[str, DataSource], tasks: Sequence[str], trained: Iterable[str]) -> None:
    """Raises :class:`UserError` if a data set labels a task that there is not, or none labels one that is trained.

    Args:
        datasets: By name.
        tasks: Names of all.
        trained: Names of those that are trained.
    """
    for name, source in datasets.items():
        for task in source.labels:
            if task not in tasks:
                raise UserError(f"data.datasets.{name}.labels: unknown task '{task}'; {did_you_mean(task, tasks)}")
    labelled = {task for source in datasets.values() for task in source.labels}
    if unlabelled := [task for task in trained if task not in labelled]:
        raise UserError(f"model.tasks.{unlabelled[0]}: no data set labels it; add it to a data set's `labels`")
