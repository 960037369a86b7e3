"""What is to be run: every contestant with every seed, each run with its whole config and a key made of it."""

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mtl_lightning.compare.planning.catalogue import FIXED, WEIGHTINGS, WITH_ARGUMENTS, Entry, Family, short_name
from mtl_lightning.compare.planning.configs import (
    Config,
    class_path,
    get_value,
    read_config,
    restricted,
    set_value,
    tasks_of,
)
from mtl_lightning.compare.planning.contestants import Contestant, Role, contestants
from mtl_lightning.compare.planning.folds import check_folds, take_fold
from mtl_lightning.compare.planning.names import TUNED_WEIGHTS, is_single_task
from mtl_lightning.compare.planning.settings import Settings
from mtl_lightning.errors import UserError
from mtl_lightning.names import checked_path, part_of_path

SEARCH_SEED = 10_000
"""Searches train with this seed, which is not among those that are reported."""

_NOT_IN_KEY = ("name", "project", "wandb", "tensorboard")
_OF_ONE_BATCH = ("features", "layers")
"""What of ``model.gradient_of`` does not go with weightings that take several batches a step."""
_RECORDER = "mtl_lightning.compare.running.run.recorder.RunRecorder"


@dataclass(frozen=True)
class Run:
    """A run of ``fit``.

    Attributes:
        contestant: Whose it is.
        seed: Of everything that is random; where folds take the place of seeds, the fold, too.
        role: What it is for.
        config: All of it.
        replicate: What tells the runs of a contestant apart, ``seed`` or ``fold``.
    """

    contestant: Contestant
    seed: int
    role: Role
    config: Config
    replicate: str = "seed"

    @cached_property
    def key(self) -> str:
        """Tells runs apart by the content of their config."""
        content = {key: _canonical(value) for key, value in self.config.items() if key not in _NOT_IN_KEY}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """For people: contestant, seed or search, and key."""
        what = "search" if self.role == "tune" else f"{self.replicate}{self.seed}"
        return f"{part_of_path(self.contestant.label)}-{what}-{self.key}"


@dataclass(frozen=True)
class Plan:
    """A comparison.

    Attributes:
        name: Of the comparison.
        settings: Its options.
        base: The config that contestants change.
        tasks: Names of the tasks.
        contestants: In the order in which they are reported.
    """

    name: str
    settings: Settings
    base: Config
    tasks: tuple[str, ...]
    contestants: tuple[Contestant, ...]

    @property
    def names(self) -> list[str]:
        """Names of the contestants that are compared; of one model for all preferences, those of its points."""
        return list(dict.fromkeys(name for c in self.contestants if c.role == "compare" for name in c.shown))

    @property
    def fronts(self) -> dict[str, list[str]]:
        """Names of the contestants that are points of a front, by front; those of one model among them."""
        found: dict[str, list[str]] = {}
        for contestant in self.contestants:
            if contestant.front:
                found.setdefault(contestant.front, []).extend(contestant.shown)
        return found

    @property
    def reference(self) -> str:
        """Equal weighting, or the first contestant where it does not compete."""
        equal = short_name("EqualWeighting")
        return equal if equal in self.names else next(name for name in self.names if not is_single_task(name))

    @property
    def replicate(self) -> str:
        """What tells the runs of a contestant apart: ``seed`` or ``fold``."""
        return "seed" if self.settings.folds is None else "fold"

    def runs(self, contestant: Contestant, chosen: Mapping[str, Any] | None = None) -> list[Run]:
        """The runs that are reported, one a seed or fold.

        Args:
            contestant: Whose they are.
            chosen: What its search chose, by key.
        """
        configs = {s: self._config(contestant, chosen or {}, s, self.settings.split) for s in self.settings.seeds}
        return [Run(contestant, s, contestant.role, config, self.replicate) for s, config in configs.items()]

    def trial(self, contestant: Contestant, tried: Mapping[str, Any]) -> Run:
        """A run of the search, which sees validation data alone."""
        return Run(contestant, SEARCH_SEED, "tune", self._config(contestant, tried, SEARCH_SEED, "val"))

    def all_runs(self) -> list[Run]:
        """Every run that is reported, as far as it is known before the search."""
        return [run for contestant in self.contestants for run in self.runs(contestant)]

    def num_trials(self, contestant: Contestant) -> int:
        """Runs of a contestant's search; where nothing varies, one says it all."""
        return self.settings.tune if contestant.searched else min(1, self.settings.tune)

    def num_runs(self) -> int:
        """All runs, those of the searches among them."""
        return sum(len(self.settings.seeds) + self.num_trials(contestant) for contestant in self.contestants)

    def _config(self, contestant: Contestant, settings: Mapping[str, Any], seed: int, split: str) -> Config:
        config = deepcopy(self.base)
        for key, value in {**contestant.changes, **settings}.items():
            set_value(config, key, deepcopy(value))
        if contestant.tasks:
            config = restricted(config, contestant.tasks)
        if contestant.name == TUNED_WEIGHTS:
            _normalise(config)
        self._suit_family(config)
        config |= {"name": self.name, "seed_everything": seed, "evaluate": split}
        config.pop("preferences", None)
        if contestant.asked and seed != SEARCH_SEED:
            config["preferences"] = [dict(preference) for preference in contestant.asked.values()]
        config["data"]["seed"] = seed
        if self.settings.folds is not None:
            take_fold(config, self.settings.folds, 0 if seed == SEARCH_SEED else seed)
        trainer = {"log_every_n_steps": 10, "enable_progress_bar": False, "enable_model_summary": False}
        config["trainer"] = trainer | (config.get("trainer") or {})
        set_value(config, "trainer.callbacks+", {"class_path": _RECORDER})
        return config

    def _suit_family(self, config: Config) -> None:
        """Leaves out what has no meaning for a weighting's family, and lets loss weightings look at conflicts."""
        family, model = _family(config), config["model"]
        of_one_batch = model.get("gradient_of") in _OF_ONE_BATCH
        if family in ("loss", "jacobian") or (of_one_batch and _entry(config).batches > 1):
            model.pop("gradient_of", None)
        if not _entry(config).plain:
            model.pop("gradient_of", None)
            model.pop("refresh_every", None)
        if family == "jacobian":
            model.pop("refresh_every", None)
            model.pop("head_gradients", None)
        if family == "loss":
            model.pop("refresh_every", None)
            if self.settings.probe and len(model["tasks"]) > 1:
                model["refresh_every"] = self.settings.probe


def make_plan(settings: Settings) -> Plan:
    """Plans a comparison.

    Raises:
        UserError: If the config cannot be read, or contestants have the same name.
    """
    base = read_config(settings.config, settings.flags)
    tasks = tuple(tasks_of(base))
    if settings.folds is not None:
        check_folds(base, settings.folds)
    if SEARCH_SEED in settings.seeds:
        raise UserError(f"seeds: {SEARCH_SEED} is the seed of the search; take another")
    entered = tuple(contestants(settings, base, tasks))
    labels = [label for c in entered for label in (c.asked or [c.label])]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise UserError(f"two contestants are called '{twice[0]}'; give the variant another name")
    name = checked_path("name", str(base.get("name", "run")), "runs")
    return Plan(name, settings, base, tasks, entered)


def _canonical(value: Any) -> Any:
    """The same for a class that is given by name alone and one without arguments."""
    if isinstance(value, dict):
        if set(value) <= {"class_path", "init_args"} and "class_path" in value and not value.get("init_args"):
            return value["class_path"]
        return {str(key): _canonical(item) for key, item in value.items()}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def _entry(config: Config) -> Entry:
    """What is known of a weighting; of a user's own, what most have."""
    return WEIGHTINGS.get(class_path(get_value(config, "model.weighting")) or "", Entry("gramian", {}))


def _family(config: Config) -> Family | None:
    """What a weighting sees; None of one that is not ours."""
    weighting = class_path(get_value(config, "model.weighting")) or "EqualWeighting"
    if weighting == FIXED:
        return "loss"
    if weighting in WITH_ARGUMENTS:
        return "gramian"
    return WEIGHTINGS[weighting].family if weighting in WEIGHTINGS else None


def _normalise(config: Config) -> None:
    """Scales fixed weights to a mean of 1, so that they do not change the learning rate by the way."""
    weights = get_value(config, "model.weighting.weights")
    mean = sum(weights.values()) / len(weights)
    set_value(config, "model.weighting.weights", {task: weight / mean for task, weight in weights.items()})
