"""Who is compared: weightings, variants of the config, and the baselines that come with them."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

from mtl_lightning.compare.planning.catalogue import FIXED, JOINT_OUTPUTS, WEIGHT, WEIGHTINGS, Range, Space, short_name
from mtl_lightning.compare.planning.configs import (
    Config,
    after,
    class_path,
    get_value,
    labelled_tasks,
    refuse_malformed,
    set_value,
    tasks_of,
)
from mtl_lightning.compare.planning.fronts import (
    DRAWS,
    PREFERENCES,
    TOLD,
    asked,
    front_of,
    point_name,
    preferences,
    with_preference,
)
from mtl_lightning.compare.planning.names import PAIR, SINGLE_TASK, TUNED_WEIGHTS, single_task_of
from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.errors import UserError
from mtl_lightning.terminal import say

Role = Literal["compare", "tune", "pair"]

_LEARNING_RATE = "model.optimizer.lr"
_LR_FACTOR = 5.0
_OF_SEVERAL_TASKS = (
    "model.weighting",
    "model.chain",
    "model.refresh_every",
    "model.gradient_of",
    "model.head_gradients",
    "data.schedule",
)
"""What changes nothing for a model of one task."""


@dataclass(frozen=True)
class Contestant:
    """What is compared.

    Attributes:
        name: That the report shows.
        changes: Of the config, by key.
        space: What a search varies for every contestant alike, by key.
        own: What it varies for this one alone.
        tasks: The tasks it is trained on, where they are not all: a single-task baseline has one for each task.
        role: What its runs are for.
        front: The front that it is a point of, or all of, if any.
        asked: The preferences between the tasks that its model is asked for, by name of the point that each makes.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    space: Space = field(default_factory=dict)
    own: Space = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    role: Role = "compare"
    front: str = ""
    asked: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def shown(self) -> list[str]:
        """What the report has of it: its name, or those of its points."""
        return [*self.asked] or [self.name]

    @property
    def searched(self) -> Space:
        """All that a search varies."""
        return {**self.space, **self.own}

    @property
    def label(self) -> str:
        """Its name, with the tasks where they are not all."""
        return f"{self.name} {' + '.join(self.tasks)}" if self.tasks else self.name


def contestants(settings: Settings, base: Config, tasks: tuple[str, ...]) -> Iterator[Contestant]:
    """The contestants of a comparison, in the order in which they are reported.

    Args:
        settings: Options of the comparison.
        base: The config that they change.
        tasks: Names of the tasks.

    Raises:
        UserError: If there is to be a search, and nothing to search.
    """
    trained, labelled = _trained(base, tasks), labelled_tasks(base)
    swept = [weighting for weighting in settings.weightings if settings.front and weighting in PREFERENCES]
    plain = [
        _asked(
            settings, base, _contestant(settings, base, short_name(weighting), _weighting(weighting, base, settings))
        )
        for weighting in settings.weightings
        if weighting not in swept
    ]
    yield from (contestant for contestant in plain if not contestant.asked)
    if settings.front:
        for weighting in dict.fromkeys([*swept, FIXED]):
            yield from _front(settings, base, weighting, trained)
        yield from (contestant for contestant in plain if contestant.asked)
    elif settings.tune and settings.weightings and len(trained) > 1:
        weights = {"class_path": FIXED, "init_args": {"weights": dict.fromkeys(trained, 1.0)}}
        own: Space = {f"model.weighting.weights.{task}": WEIGHT for task in trained}
        changes = {"model.weighting": weights}
        yield Contestant(TUNED_WEIGHTS, changes, _general(settings, _changed(base, changes), TUNED_WEIGHTS), own)
    variants = {name: _variant(name, base, changes) for name, changes in settings.variants.items()}
    for name, changes in variants.items():
        yield _asked(settings, base, _contestant(settings, base, name, changes))
    if settings.single_task:
        yield from _baselines(settings, base, SINGLE_TASK, {}, labelled)
        for name, changes in variants.items():
            if not all(key.startswith(_OF_SEVERAL_TASKS) for key in changes):
                kept = [task for task in labelled_tasks(_changed(base, changes)) if task in labelled]
                yield from _baselines(settings, base, single_task_of(name), changes, kept)
    if settings.pairs:
        general = _general(settings, base, PAIR)
        yield from (Contestant(PAIR, {}, general, tasks=pair, role="pair") for pair in combinations(labelled, 2))


def _trained(base: Config, tasks: Sequence[str]) -> list[str]:
    """The tasks that have a loss in training: all but the joint outputs that are not trained."""
    links = get_value(base, "model.chain") or {}
    joint = {task for task, link in links.items() if short_name(class_path(link) or "") in JOINT_OUTPUTS}
    return [task for task in tasks if task not in joint or get_value(base, f"model.chain.{task}.trained")]


def _variant(name: str, base: Config, changes: Mapping[str, Any]) -> Config:
    """What the changes of a variant come to.

    Raises:
        UserError: If they leave no config.
    """
    try:
        changes, lost = after(base, changes)
        for line in lost:
            say(f"note: variant '{name}': {line}", error=True)
        config = _changed(base, changes)
        refuse_malformed(config)
        tasks_of(config)
    except UserError as error:
        raise UserError(f"variant '{name}': {error}") from error
    return changes


def _baselines(
    settings: Settings, base: Config, name: str, changes: Mapping[str, Any], tasks: Sequence[str]
) -> Iterator[Contestant]:
    """A model for each task, of the architecture that the changes make."""
    general = _general(settings, _changed(base, changes), name)
    yield from (Contestant(name, changes, general, tasks=(task,)) for task in tasks)


def _front(settings: Settings, base: Config, weighting: str, tasks: Sequence[str]) -> Iterator[Contestant]:
    """A contestant for each preference between the tasks."""
    for preference in preferences(len(tasks), settings.front):
        name = point_name(front_of(weighting), preference)
        made = _contestant(settings, base, name, with_preference(weighting, tasks, preference))
        yield replace(made, front=front_of(weighting))


def _asked(settings: Settings, base: Config, contestant: Contestant) -> Contestant:
    """The contestant, asked for each preference of a front where its model is one for all of them."""
    config = _changed(base, contestant.changes)
    parts = [class_path(get_value(config, f"model.{part}")) or "" for part in ("sharing", "weighting")]
    if not settings.front or [part.rpartition(".")[2] for part in parts] != [TOLD, DRAWS]:
        return contestant
    tasks = _trained(config, list(config["model"]["tasks"]))
    return replace(contestant, front=contestant.name, asked=asked(contestant.name, tasks, settings.front))


def _contestant(settings: Settings, base: Config, name: str, changes: Mapping[str, Any]) -> Contestant:
    """A contestant that searches what all do, and those options of its weighting that it leaves open."""
    config = _changed(base, changes)
    weighting = class_path(get_value(config, "model.weighting")) or "EqualWeighting"
    options = WEIGHTINGS[weighting].options if weighting in WEIGHTINGS else {}
    own = {f"model.weighting.{option}": searched for option, searched in options.items()}
    own = {key: searched for key, searched in own.items() if get_value(config, key) is None}
    return Contestant(name, changes, _general(settings, config, name), own)


def _weighting(weighting: str, base: Config, settings: Settings) -> dict[str, Any]:
    """What makes a weighting a contestant.

    That by uncertainty is told which tasks are regressions, as in its paper; in a comparison of fronts, one that draws
    preferences has a sharing that is told which, where the config has none of its own.
    """
    tasks = base["model"]["tasks"]
    regression = [name for name in tasks if (class_path(tasks[name]) or "").rsplit(".", 1)[-1] == "Regression"]
    if weighting == "UncertaintyWeighting" and regression:
        return {"model.weighting": {"class_path": weighting, "init_args": {"regression": regression}}}
    sharing = class_path(get_value(base, "model.sharing"))
    if settings.front and weighting == DRAWS and (sharing or "HardSharing").rpartition(".")[2] == "HardSharing":
        return {"model.weighting": weighting, "model.sharing": TOLD}
    return {"model.weighting": weighting}


def _changed(base: Config, changes: Mapping[str, Any]) -> Config:
    config = deepcopy(base)
    for key, value in changes.items():
        set_value(config, key, deepcopy(value))
    return config


def _general(settings: Settings, config: Config, name: str) -> Space:
    """What is searched for every contestant: what the plan file says, or the learning rate around that of its config.

    Raises:
        UserError: If there is to be a search, and nothing to search.
    """
    if settings.space or not settings.tune:
        return settings.space
    rate = get_value(config, _LEARNING_RATE)
    if not isinstance(rate, int | float) or rate <= 0:
        raise UserError(
            f"tune: the config of '{name}' gives no {_LEARNING_RATE} above 0 to search around; give it, or a plan file "
            "with `space: {key: {low: …, high: …}}`"
        )
    return {_LEARNING_RATE: Range(rate / _LR_FACTOR, rate * _LR_FACTOR, log=True, default=rate)}
