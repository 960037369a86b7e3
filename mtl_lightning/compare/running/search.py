"""The search for a contestant's settings, on validation data alone."""

import hashlib
from collections.abc import Mapping
from typing import Any

from scipy.stats import qmc

from mtl_lightning.compare.planning.catalogue import Choice, Range, Space
from mtl_lightning.compare.planning.configs import get_value
from mtl_lightning.compare.planning.contestants import Contestant
from mtl_lightning.compare.planning.plan import Plan
from mtl_lightning.errors import UserError

_AT_ONCE = 4
"""Trials that are asked for together, whatever the number of workers, so that this changes no search."""


class Search:
    """A search by Optuna's tree-structured Parzen estimator, after a first round of four trials.

    The first trial is the config as it is, with a method's own defaults. The rest of the first round are Sobol points,
    the first two of them at three quarters and a quarter of every range, so that a short search tries both sides, too;
    what is searched for all contestants (the learning rate) is tried at the same points for all of them, so that none
    has the better luck. All trials follow from what is searched and the values that are told: a search that is gone
    through again, with the runs that were kept, asks for the same ones.

    Args:
        contestant: What varies.
        plan: The comparison.

    Attributes:
        trials: Settings, value and status of each trial that has ended, in order.
    """

    def __init__(self, contestant: Contestant, plan: Plan) -> None:
        try:
            import optuna
        except ImportError as error:
            raise UserError("`tune` needs Optuna: pip install 'mtl-lightning[compare]'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.contestant = contestant
        self.trials: list[dict[str, Any]] = []
        self._number = plan.num_trials(contestant)
        self._optuna = optuna
        self._first = _first_round(contestant, plan)
        self._study = self._opened()
        self._asked: list[Any] = []

    def _opened(self) -> Any:
        """The study, whose first round is decided."""
        study = self._optuna.create_study(direction="maximize", sampler=self._sampler(0))
        for settings in self._first:
            study.enqueue_trial(settings)
        return study

    def _sampler(self, skipped: int) -> Any:
        seed = (_seed(self.contestant.searched) + skipped) % 2**32
        return self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=_AT_ONCE, constant_liar=True)

    def ask(self) -> list[dict[str, Any]]:
        """The settings to try next, all of which must be told before it is asked again; none at the end."""
        self._asked = self._round(min(_AT_ONCE, self._number - len(self.trials)))
        return [dict(trial.params) for trial in self._asked]

    def _round(self, number: int) -> list[Any]:
        """So many new trials of the study."""
        space = self._distributions(self.contestant.searched)
        return [self._study.ask(space) for _ in range(number)]

    def tell(self, results: list[Mapping[str, Any] | None]) -> None:
        """Takes what the runs came to, in the order of the trials."""
        for trial, result in zip(self._asked, results, strict=True):
            scores = (result or {}).get("scores") or {}
            value, status = scores.get("average"), (result or {}).get("status", "failed")
            if status != "finished":
                value = None
            self._record(trial, value)
            self.trials.append({"settings": dict(trial.params), "value": value, "status": status})
        self._asked = []

    def _record(self, trial: Any, value: float | None) -> None:
        """Tells the study what a trial came to; null: it has failed."""
        failed = self._optuna.trial.TrialState.FAIL
        self._study.tell(trial.number, value, state=failed if value is None else None)

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings of the best trial, the first of equals; those of the config if all have failed."""
        good = [trial for trial in self.trials if trial["value"] is not None]
        return dict(max(good, key=lambda trial: trial["value"])["settings"]) if good else {}

    def _distributions(self, space: Space) -> dict[str, Any]:
        return {key: self._distribution(searched) for key, searched in space.items()}

    def _distribution(self, searched: Range | Choice) -> Any:
        distributions = self._optuna.distributions
        if isinstance(searched, Choice):
            return distributions.CategoricalDistribution(searched.values)
        if isinstance(searched.low, int) and isinstance(searched.high, int):
            return distributions.IntDistribution(searched.low, searched.high, log=searched.log)
        return distributions.FloatDistribution(searched.low, searched.high, log=searched.log)


def _first_round(contestant: Contestant, plan: Plan) -> list[dict[str, Any]]:
    general, own = (_spread(space) for space in (contestant.space, contestant.own))
    return [_own_settings(contestant, plan), *({**one, **other} for one, other in zip(general, own, strict=True))]


def _own_settings(contestant: Contestant, plan: Plan) -> dict[str, Any]:
    """What a run without a search takes, as far as it is among what is searched."""
    config = plan.trial(contestant, {}).config
    found = {}
    for key, searched in contestant.searched.items():
        value = get_value(config, key)
        if searched.holds(value := searched.default if value is None and key in contestant.own else value):
            found[key] = value
    return found


def _spread(space: Space) -> list[dict[str, Any]]:
    """Settings for the rest of the first round; Sobol's own first points, a corner and the middle, are left out."""
    if not space:
        return [{}] * (_AT_ONCE - 1)
    points = qmc.Sobol(len(space), scramble=False).random(2 * _AT_ONCE)[2 : _AT_ONCE + 1]
    return [
        {key: searched.at(float(share)) for (key, searched), share in zip(space.items(), point, strict=True)}
        for point in points
    ]


def _seed(space: Space) -> int:
    return int.from_bytes(hashlib.sha256(repr(sorted(space)).encode()).digest()[:4], "big")
