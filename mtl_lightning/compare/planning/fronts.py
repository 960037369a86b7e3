"""Preferences between tasks: the contestants that together make a front, or the one that is asked for all of them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from mtl_lightning.compare.planning.catalogue import FIXED, short_name
from mtl_lightning.errors import UserError

PREFERENCES: Mapping[str, str] = {FIXED: "weights", "STCH": "preferences", "UPGrad": "preferences"}
"""Weightings that take a preference for each task, and the argument that it is."""

FIXED_WEIGHTS = "fixed"
"""The front of fixed weights, which every other one is compared with."""

TOLD, DRAWS = "PreferenceFiLM", "COSMOS"
"""The sharing and the weighting of one model for all preferences: the one is told which the other draws."""

_MOST_TASKS = 3


def preferences(num_tasks: int, number: int) -> list[tuple[float, ...]]:
    """Preferences spread evenly over the simplex, each above 0 and with a sum of 1.

    These are the inner points of the lattice of Das and Dennis (1998, "Normal-Boundary Intersection"): for two tasks
    any number of them, for three 3, 6, 10, 15 and so on.

    Args:
        num_tasks: K, 2 or 3.
        number: N.

    Raises:
        UserError: If there are no N such points, or there are other numbers of tasks.

    >>> preferences(2, 3)
    [(0.25, 0.75), (0.5, 0.5), (0.75, 0.25)]
    """
    if not 2 <= num_tasks <= _MOST_TASKS:
        raise UserError(f"front: preferences are swept over two or three tasks that train; this config has {num_tasks}")
    divisions, points = num_tasks, list[tuple[int, ...]]()
    while len(points) < number:
        points, divisions = [*_lattice(num_tasks, divisions)], divisions + 1
    if len(points) > number or number < 2:
        fewer = len([*_lattice(num_tasks, divisions - 2)])
        near = " or ".join(str(each) for each in (fewer, len(points)) if each > 1)
        raise UserError(f"front: {number} preferences cannot be spread evenly over {num_tasks} tasks; take {near}")
    return [tuple(part / sum(point) for part in point) for point in points]


def point_name(front: str, preference: Sequence[float]) -> str:
    """What the contestant of a preference is called.

    >>> point_name("stch", (0.25, 0.75))
    'stch 0.25:0.75'
    """
    return f"{front} {':'.join(f'{part:.3g}' for part in preference)}"


def front_of(weighting: str) -> str:
    """What the front of a weighting is called."""
    return FIXED_WEIGHTS if weighting == FIXED else short_name(weighting)


def with_preference(weighting: str, tasks: Sequence[str], preference: Sequence[float]) -> dict[str, Any]:
    """The change of a config that makes a weighting prefer tasks; fixed weights have a mean of 1.

    Args:
        weighting: One of ``PREFERENCES``.
        tasks: That train.
        preference: Of each.
    """
    scale = len(tasks) if weighting == FIXED else 1
    values = {task: part * scale for task, part in zip(tasks, preference, strict=True)}
    return {"model.weighting": {"class_path": weighting, "init_args": {PREFERENCES[weighting]: values}}}


def asked(front: str, tasks: Sequence[str], number: int) -> dict[str, dict[str, float]]:
    """What one model for all preferences is asked for, by what the report calls each point.

    Args:
        front: What the front is called.
        tasks: That train.
        number: Of preferences.
    """
    wanted = preferences(len(tasks), number)
    return {point_name(front, each): dict(zip(tasks, each, strict=True)) for each in wanted}


def _lattice(num_tasks: int, divisions: int) -> Iterator[tuple[int, ...]]:
    """Ways to cut ``divisions`` into parts of 1 at least."""
    for cuts in combinations(range(1, divisions), num_tasks - 1):
        ends = (0, *cuts, divisions)
        yield tuple(end - start for start, end in pairwise(ends))
