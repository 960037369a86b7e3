"""Makes pools of encoded tables, and refuses episodes that do not fit data and tasks."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from datasets import Dataset

from mtl_lightning.data.columns import numbers_of
from mtl_lightning.data.encoding import check_columns
from mtl_lightning.data.episodes.drawing import EpisodeList
from mtl_lightning.data.episodes.pool import Pool
from mtl_lightning.data.episodes.settings import Episodes
from mtl_lightning.data.episodes.supports import Supports
from mtl_lightning.data.groups import groups_of
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.names import names_asked

Tasks = Mapping[str, Any]
"""All tasks, by name."""


class Drawn(NamedTuple):
    """What the episodes of a split are drawn from.

    Attributes:
        pools: By data set, of the query sets.
        supports: The same of support sets that other data sets give.
    """

    pools: dict[str, Pool]
    supports: dict[str, Supports]


def check_episodes(episodes: Mapping[str, Episodes], sources: Mapping[str, DataSource], model: Any) -> None:
    """Refuses episodes that do not fit the data sets and the tasks that these label.

    Args:
        episodes: By data set.
        sources: All data sets.
        model: The MultiTaskModule.

    Raises:
        UserError: If a name is unknown, a data set is a stream, or numbers of classes differ.
    """
    tasks: Tasks = model.tasks
    for name in episodes:
        if name not in sources:
            raise UserError(f"data.episodes names the unknown data set '{name}'; {did_you_mean(name, sources)}")
        if sources[name].streaming is not None:
            raise UserError(f"data.episodes: '{name}' is a stream, of which no episodes can be drawn; drop `streaming`")
        if model.encoder.processor.packs:
            raise UserError(
                f"data.episodes: '{name}' cannot be cut into episodes where batches are packed; drop `packing`"
            )
    for name, source in sources.items():
        settings = episodes.get(name)
        ways = () if settings is None else (settings.ways, settings.in_evaluation.ways)
        few = [task for task in source.labels if tasks[task].by_episode]
        if len(few) > 1:
            raise UserError(
                f"data.datasets.{name}.labels: an episode has the classes of one task, found {', '.join(few)}"
            )
        for task in few:
            if settings is None or settings.ways is None:
                raise UserError(
                    f"data.episodes.{name}: task '{task}' that it labels has the classes of an episode; say `ways`"
                )
            if tasks[task].ways is not None and set(ways) != {tasks[task].ways}:
                found = " and ".join(map(str, dict.fromkeys(ways)))
                raise UserError(
                    f"data.episodes.{name}.ways must be {tasks[task].ways}, as of the task '{task}', also in an "
                    f"evaluation; found {found}"
                )
        if not few and any(ways):
            raise UserError(
                f"data.episodes.{name}.ways: the data set labels no few-shot task; name one in its `labels`, say a "
                "PrototypicalClassification, or leave `ways` out"
            )
    for name, settings in episodes.items():
        _check_support(f"data.episodes.{name}", settings, sources[name], sources, model)


def _check_support(where: str, settings: Episodes, source: DataSource, sources: Mapping[str, Any], model: Any) -> None:
    """Refuses support sets that have nothing for an inner loop to adapt by."""
    if settings.support is None and settings.support_tasks is None:
        return
    if model.inner_loop is None:
        option = "support" if settings.support is not None else "support_tasks"
        raise UserError(f"{where}.{option}: without `model.inner_loop` nothing adapts to support sets; set it")
    if settings.support_tasks is not None:
        names_asked(f"{where}.support_tasks", settings.support_tasks, list(model.tasks))
    givers = {"this data set": source}
    if settings.support is not None:
        for name in settings.support:
            if name not in sources:
                raise UserError(f"{where}.support names the unknown data set '{name}'; {did_you_mean(name, sources)}")
        givers = {name: sources[name] for name in settings.support}
    for name, giver in givers.items():
        if giver.streaming is not None:
            raise UserError(f"{where}.support: '{name}' is a stream, of which no support sets can be drawn")
        for task in {**giver.labels, **source.labels}:
            if model.tasks[task].by_episode:
                raise UserError(
                    f"{where}: '{task}' has classes of its own in each episode, so that no other task or data set can "
                    "give its support sets; drop `support` and `support_tasks`"
                )
        if not set(giver.labels) & set(settings.support_tasks or source.labels):
            wanted = ", ".join(settings.support_tasks or source.labels)
            raise UserError(
                f"{where}: {name} labels {', '.join(giver.labels)}, and so gives nothing to adapt to {wanted} by; name "
                "what it labels in `support_tasks`"
            )
    for task in settings.support_tasks or source.labels:
        if not any(task in giver.labels for giver in givers.values()):
            of = "this data set" if settings.support is None else " and ".join(givers)
            raise UserError(
                f"{where}: '{task}' is labelled by no support set (of {of}); name others in `support_tasks`"
            )


def drawn_from(
    episodes: Mapping[str, Episodes],
    sources: Mapping[str, DataSource],
    split: str,
    raw: Callable[[str, str], Dataset],
    encoded: Mapping[str, Dataset],
    tasks: Tasks,
) -> Drawn:
    """What the episodes of a split are drawn from.

    Args:
        episodes: By data set; those that have not the split, or no episodes in it, are left out.
        sources: All data sets.
        split: Name of the split.
        raw: The table of a data set's split.
        encoded: Those of the split, encoded.
        tasks: All tasks.

    Raises:
        UserError: If there is too little to draw episodes from, or a data set that gives support sets has no such
            split.
    """
    having = {n: each for n, each in episodes.items() if n in encoded and (each.evaluated or split == "train")}
    pools = {
        name: pool_of(name, settings, sources[name], split, raw(name, split), encoded[name], tasks)
        for name, settings in having.items()
    }
    supports = {}
    for name, settings in having.items():
        if settings.support is None:
            continue
        for other in settings.support:
            if other not in encoded:
                raise UserError(
                    f"data.episodes.{name}.support: '{other}' has no split '{split}' to adapt to; give it one, or set "
                    "`evaluated: 0`, and nothing adapts in an evaluation"
                )
        wanted = set(settings.support_tasks or sources[name].labels)
        usable = {other: _labelled(encoded[other], wanted) for other in settings.support}
        in_split = settings if split == "train" else settings.in_evaluation
        supports[name] = Supports(in_split, usable, name, split)
    return Drawn(pools, supports)


def sizes_in_evaluation(episodes: Mapping[str, Episodes], sizes: Mapping[str, int]) -> dict[str, int]:
    """Batch sizes of an evaluation: where it has no episodes, as many examples as episodes would have.

    Args:
        episodes: By data set.
        sizes: Numbers of examples or, of these, of episodes.
    """
    plain = {name: each.in_evaluation.form.size for name, each in episodes.items() if not each.evaluated}
    return {name: size * plain.get(name, 1) for name, size in sizes.items()}


def _labelled(encoded: Dataset, tasks: set[str]) -> np.ndarray:
    """Whether each row has a label of one of some tasks at least [N]."""
    counts = numbers_of("counts/", encoded)
    found: np.ndarray = np.sum([numbers for task, numbers in counts.items() if task in tasks], axis=0) > 0
    return found


def pool_of(
    name: str, settings: Episodes, source: DataSource, split: str, raw: Dataset, encoded: Dataset, tasks: Tasks
) -> Pool:
    """What the episodes of a split are drawn from.

    Args:
        name: Of the data set.
        settings: What an episode is.
        source: The data set.
        split: Name of the split.
        raw: Its table.
        encoded: The same, encoded.
        tasks: All tasks.

    Raises:
        UserError: If there is too little to draw episodes from.
    """
    settings = settings if split == "train" else settings.in_evaluation
    classes = groups = None
    usable = np.sum(list(numbers_of("counts/", encoded).values()), axis=0) > 0
    for task in source.labels if settings.ways is not None else ():
        if tasks[task].by_episode:
            classes = encoded[f"targets/{task}"][:]
            usable = classes >= 0
    if settings.within is not None:
        check_columns(f"data.episodes.{name}", {"within": settings.within}, raw, source)
        groups = groups_of(raw, settings.within)[encoded["row"][:]]
    return Pool(settings, usable, classes, groups, f"data.episodes.{name}, split '{split}'")


def fixed(drawn: Drawn, split: str) -> dict[str, EpisodeList]:
    """The episodes that a split is evaluated on, in every run, by data set."""
    return {
        name: EpisodeList(pool, [crc32(split.encode()), crc32(name.encode())], drawn.supports.get(name))
        for name, pool in drawn.pools.items()
    }
