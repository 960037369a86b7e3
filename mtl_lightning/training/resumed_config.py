"""What a configuration changes of the run that it resumes."""

from collections.abc import Iterator, Mapping
from typing import Any

from mtl_lightning.errors import UserError, shown

Change = tuple[str, Any, Any]
"""Key, what it was, and what it is now."""

_STATE = ("model.weighting", "model.lr_scheduler", "model.sharing", "model.chain", "seed_everything")
"""What the run's state stands for: the checkpoint's would silently win."""

_OPTIMIZER = ("model.optimizer", "model.head_lr_factor", "model.layer_decay", "model.no_decay")
"""What is compared with the optimizer itself."""

_FIXED = ("model.encoder", "model.distil", "model.distil.features")
"""What decides which parameters there are."""

_MAPPINGS = ("model", "data", "model.distil")

_ENTRIES = ("model.tasks", "data.datasets")


def changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Settings of model, data and seed that differ, those of one class argument by argument.

    Args:
        was: A configuration that a checkpoint carries; it may be of an older version, without some keys.
        now: The configuration that resumes it.
    """
    return [c for key in ("seed_everything", "model", "data") for c in _changes(key, was.get(key), now.get(key))]


def _changes(key: str, was: Any, now: Any) -> Iterator[Change]:
    if _is_class(was) and _is_class(now):
        if _name(was) != _name(now):
            yield key, _name(was), _name(now)
        else:
            yield from _of_both(key, was.get("init_args") or {}, now.get("init_args") or {})
    elif key in (*_MAPPINGS, *_ENTRIES) and isinstance(was, Mapping) and isinstance(now, Mapping):
        yield from _of_both(key, was, now)
        if key in _ENTRIES:
            yield from ((f"{key}.{name}", None, _name(now[name])) for name in now if name not in was)
            yield from ((f"{key}.{name}", _name(was[name]), None) for name in was if name not in now)
    elif was != now:
        yield key, _name(was), _name(now)


def _of_both(key: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for name in was:
        if name in now:
            yield from _changes(f"{key}.{name}", was[name], now[name])


def _is_class(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value


def _name(value: Any) -> Any:
    """A class by its own name: modules move from version to version."""
    return value["class_path"].rpartition(".")[2] if _is_class(value) else value


def resumed_with(was: Mapping[str, Any], now: Mapping[str, Any], optimizer_is_known: bool) -> str | None:
    """One line about all that is otherwise than before, and takes effect.

    Args:
        was: The checkpoint's configuration.
        now: The configuration that resumes it.
        optimizer_is_known: Whether the checkpoint says how the optimizer was configured, so that it is compared.

    Raises:
        UserError: If something is otherwise that cannot take effect.
    """
    said = []
    for key, before, value in changes(was, now):
        if _is_under(key, _OPTIMIZER) and optimizer_is_known:
            continue
        if _is_under(key, (*_STATE, *_OPTIMIZER)) or key in _FIXED:
            raise UserError(
                f"{key}: the run to resume has {_text(before)}, found {_text(value)}; set it back, or start anew with "
                "the run's weights: `--init_from` instead of `--ckpt_path`"
            )
        said.append(f"{key} is {_text(value)} now, was {_text(before)}")
    return f"Resumed with other settings: {'; '.join(said)}" if said else None


def _text(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else shown(value)


def _is_under(key: str, keys: tuple[str, ...]) -> bool:
    return any(key == other or key.startswith(f"{other}.") for other in keys)
