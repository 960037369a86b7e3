"""What an exported model is to prefer, where it can be asked for any preference."""

from copy import deepcopy
from typing import Any

from mtl_lightning.cli.configuration.plain_yaml import parse_value
from mtl_lightning.errors import UserError


def prefer(model: Any, text: str) -> None:
    """Lets a model serve a preference, and its configuration say so.

    Args:
        model: A trained MultiTaskModule.
        text: Of each task by name, in YAML; those that are not named have 0.

    Raises:
        UserError: If the model cannot be asked, or not for this.
    """
    if not model.sharing.wants_preference:
        name = type(model.sharing).__name__
        raise UserError(f"--preference: {name} cannot be told what to prefer; train with model.sharing: PreferenceFiLM")
    preference = parse_value(text)
    numbers = preference.values() if isinstance(preference, dict) else [None]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        example = ", ".join(f"{task}: {1 + place}" for place, task in enumerate(model.sharing.tasks))
        raise UserError(f"--preference: give a number for each task, such as '{{{example}}}', found {text[:80]}")
    model.sharing.ask(preference)
    if model.config is not None:
        model.keep_config(_saying(model.config, preference), model.config_is_own, model.config_places)


def _saying(config: dict[str, Any], preference: dict[str, float]) -> dict[str, Any]:
    """The configuration with another preference."""
    changed = deepcopy(config)
    sharing = changed["model"]["sharing"]
    if isinstance(sharing, str):
        sharing = {"class_path": sharing}
    options = {**(sharing.get("init_args") or {}), "preference": dict(preference)}
    changed["model"]["sharing"] = {**sharing, "init_args": options}
    return changed
