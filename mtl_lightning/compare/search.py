"""The search for a contestant's settings, on validation data alone."""

import hashlib
from collections.abc import Mapping
from typing import Any

from mtl_lightning.compare.catalogue import Choice
from mtl_lightning.compare.configs import get_value
from mtl_lightning.compare.plan import Contestant, Plan
from mtl_lightning.errors import UserError

_AT_ONCE = 4
"""Trials that are asked for together, whatever the number of workers, so that this changes no search."""


class Search:
    """A search by Optuna's tree-structured Parzen estimator, the first trial being the config's own settings.

    The trials follow from what is searched and the values that are told, so that a search that is gone through again,
    with the runs that were kept, asks for the same ones, and contestants that search the same try the same at first.

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
        self._number = plan.settings.tune
        self._optuna = optuna
        seed = int.from_bytes(hashlib.sha256(repr(contestant.space).encode()).digest()[:4], "big")
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_AT_ONCE, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._study.enqueue_trial(_own_settings(contestant, plan))
        self._asked: list[Any] = []

    def ask(self) -> list[dict[str, Any]]:
        """The settings to try next, all of which must be told before it is asked again; none at the end."""
        space = {key: self._distribution(spec) for key, spec in self.contestant.space.items()}
        number = min(_AT_ONCE, self._number - len(self.trials))
        if not space:
            number = min(number, 1 - len(self.trials))  # nothing varies: one trial says it all
        self._asked = [self._study.ask(space) for _ in range(number)]
        return [dict(trial.params) for trial in self._asked]

    def tell(self, results: list[Mapping[str, Any] | None]) -> None:
        """Takes what the runs came to, in the order of the trials."""
        for trial, result in zip(self._asked, results, strict=True):
            scores = (result or {}).get("scores") or {}
            value, status = scores.get("average"), (result or {}).get("status", "failed")
            if status != "finished":
                value = None
            failed = self._optuna.trial.TrialState.FAIL
            self._study.tell(trial, value, state=failed if value is None else None)
            self.trials.append({"settings": dict(trial.params), "value": value, "status": status})
        self._asked = []

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings of the best trial, the first of equals; those of the config if all have failed."""
        good = [trial for trial in self.trials if trial["value"] is not None]
        return dict(max(good, key=lambda trial: trial["value"])["settings"]) if good else {}

    def _distribution(self, spec: Any) -> Any:
        distributions = self._optuna.distributions
        if isinstance(spec, Choice):
            return distributions.CategoricalDistribution(spec.values)
        return distributions.FloatDistribution(spec.low, spec.high, log=spec.log)


def _own_settings(contestant: Contestant, plan: Plan) -> dict[str, Any]:
    """What the config says of what is searched, as far as it says anything."""
    config = plan.trial(contestant, {}).config
    found = {key: get_value(config, key) for key in contestant.space}
    return {key: value for key, value in found.items() if value is not None}
