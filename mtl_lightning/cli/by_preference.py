"""A model that can be asked for any preference between its tasks is evaluated at several."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.training.evaluation import Results

Preference = Mapping[str, float]


def check_preferences(model: Any, preferences: Sequence[Preference], evaluate: str) -> None:
    """Refuses what a model cannot be asked for, before it is trained.

    Args:
        model: A MultiTaskModule.
        preferences: Of each task by name; those that are not named have 0.
        evaluate: Split on which it is to be evaluated.

    Raises:
        UserError: If the sharing takes no preferences, or not these.
    """
    if preferences and not model.sharing.wants_preference:
        name = type(model.sharing).__name__
        raise UserError(f"preferences: {name} cannot be told what to prefer; choose model.sharing: PreferenceFiLM")
    if preferences and evaluate == "none":
        raise UserError("preferences: nothing is evaluated where `evaluate` is none; take val or test")
    for number, preference in enumerate(preferences):
        if unknown := sorted(preference.keys() - model.tasks.keys()):
            hint = did_you_mean(unknown[0], [*model.tasks])
            raise UserError(f"preferences[{number}] names the unknown task '{unknown[0]}'; {hint}")
        if not all(0 <= value < float("inf") for value in preference.values()) or not any(preference.values()):
            found = dict(preference)
            raise UserError(f"preferences[{number}]: give numbers of at least 0, one of them above, found {found}")


def by_preference(
    model: Any, preferences: Sequence[Preference], split: str, evaluate: Callable[[], object]
) -> list[tuple[Preference, Results]]:
    """What a model reaches at each preference; it serves the last one afterwards.

    Args:
        model: The trained one.
        preferences: As :func:`check_preferences` let them pass.
        split: ``val`` or ``test``.
        evaluate: Does it, for the preference that the model serves.
    """
    found = []
    for preference in preferences:
        model.sharing.ask(preference)
        evaluate()
        found.append((preference, model.results[split]))
    return found


def shown_preference(preference: Preference) -> str:
    """A preference in words.

    >>> shown_preference({"left": 0.25, "right": 0.75})
    'left 0.25, right 0.75'
    """
    return ", ".join(f"{task} {value:.3g}" for task, value in preference.items())
