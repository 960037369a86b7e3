"""What a new model takes over from a trained one: the encoder, and the heads as far as their labels fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from mtl_lightning.checkpoints.io import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.checkpoints.shapes import kind_of
from mtl_lightning.encoders import Encoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Task

State = Mapping[str, Tensor]


class Start(NamedTuple):
    """What is taken.

    Attributes:
        state: Parameters and buffers, by their names in the new model.
        lines: What they are, and what stays fresh, by part of the model.
    """

    state: dict[str, Tensor]
    lines: dict[str, str]


def warm_start(
    path: Path, state: State, encoder: Encoder, tasks: Mapping[str, Task], originals: Mapping[str, str]
) -> Start:
    """What a new model takes over from a checkpoint.

    Args:
        path: The checkpoint.
        state: State of the new model.
        encoder: Of the new model.
        tasks: Of the new model, built.
        originals: What a name stands for where the sharing copies a part of the encoder: the original's name.

    Raises:
        UserError: If the encoder is another one, or reads its inputs differently: with another tokenizer, say.
    """
    checkpoint = AtomicCheckpointIO().load_checkpoint(path)
    saved, trained = checkpoint[CHECKPOINT_KEY], checkpoint["state_dict"]
    if other := encoder.reads_differently(saved["assets"]["files"]):
        raise UserError(f"init_from: the encoder in {path} reads its inputs differently from this one: {other}")
    adapted = encoder.renamed({name.removeprefix("encoder."): t for name, t in _under("encoder.", trained).items()})
    taken, lines = _encoder(path, {f"encoder.{name}": value for name, value in adapted.items()}, state)
    found = {name: value for name, value in _under("sharing.", trained).items() if _fits(state, name, value)}
    copied = {name: taken[of] for name, of in originals.items() if of in taken and name not in found}
    taken |= found | copied
    if any(name.startswith("sharing.") for name in state):
        lines["sharing"] = _counted(found | copied, _under("sharing.", state))
        lines["sharing"] += f", {_size(copied):,} of them copied from the encoder" if copied else ""
    for name, task in tasks.items():
        inherited, lines[name] = _head(name, task, saved, trained)
        taken |= {f"heads.{name}.{key}": value for key, value in inherited.items()}
    return Start(taken, lines)


def _encoder(path: Path, trained: State, state: State) -> tuple[dict[str, Tensor], dict[str, str]]:
    own, found = _under("encoder.", state), trained
    for name in own:
        if name in found and not _fits(own, name, found[name]):
            there, here = _described(found[name]), _described(own[name])
            what = next(
                f"{key} {there[key]} in {path}, here {here.get(key)}" for key in there if there[key] != here.get(key)
            )
            raise UserError(f"init_from: {name} has the {what}; give model.encoder the settings of that run")
    taken = {name: value for name, value in found.items() if name in own}
    if own and not taken:
        raise UserError(
            f"init_from: the encoder in {path} is a different one: it shares no parameter name with this model"
        )
    return taken, {"encoder": _counted(taken, own)}


def _head(name: str, task: Task, saved: Mapping[str, Any], trained: State) -> tuple[Mapping[str, Tensor], str]:
    if name not in saved["tasks"]:
        return {}, "fresh, the checkpoint has no such task"
    config = saved.get("config", {}).get("model", {}).get("tasks", {}).get(name, {})
    was = (config if isinstance(config, str) else config.get("class_path", "")).rpartition(".")[2]
    if was and was != type(task).__name__:
        return {}, f"fresh, it was a {was}"
    start = f"heads.{name}."
    own = {key.removeprefix(start): value for key, value in _under(start, trained).items()}
    return task.inherited(own, saved["tasks"][name])


def _under(start: str, state: State) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith(start)}


def _fits(state: State, name: str, value: Any) -> bool:
    """Whether a state has something of that name and form; an extra state may be anything."""
    own = state.get(name)
    if not isinstance(own, Tensor) or not isinstance(value, Tensor):
        return own is not None and type(own) is type(value)
    return own.shape == value.shape and kind_of(own) == kind_of(value)


def _described(value: Any) -> dict[str, str]:
    if isinstance(value, Tensor):
        return {"shape": str(list(value.shape)), "type": kind_of(value)}
    return {"type": type(value).__name__}


def _counted(taken: State, own: State) -> str:
    return f"{_size(taken):,} of {_size(own):,} parameters"


def _size(state: State) -> int:
    return sum(value.numel() for value in state.values() if isinstance(value, Tensor))
