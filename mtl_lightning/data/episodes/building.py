"""Makes pools of encoded tables, and refuses episodes that do not fit data and tasks."""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
from datasets import Dataset

from mtl_lightning.data.columns import numbers_of
from mtl_lightning.data.encoding import check_columns
from mtl_lightning.data.episodes.drawing import EpisodeList
from mtl_lightning.data.episodes.pool import Pool
from mtl_lightning.data.episodes.settings import Episodes
from mtl_lightning.data.groups import groups_of
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.errors import UserError, did_you_mean

Tasks = Mapping[str, Any]
"""All tasks, by name."""


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


def fixed(pool: Pool, name: str, split: str) -> EpisodeList:
    """The episodes that a split is evaluated on, in every run."""
    return EpisodeList(pool, [crc32(split.encode()), crc32(name.encode())])
