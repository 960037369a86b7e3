"""What Lightning refuses, as a line with the key that it is configured by."""

import inspect
import linecache
import re
import sysconfig
import traceback
from collections.abc import Sequence
from types import FrameType

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer

from mtl_lightning.cli.config_errors.files import entries_of
from mtl_lightning.cli.configuration.given import Given

_LIGHTNING = ("lightning.", "lightning_utilities.", "pytorch_lightning.")
_PLAIN = (ValueError, TypeError, MisconfigurationException)
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib"))
_PARAMETERS = sorted(inspect.signature(Trainer.__init__).parameters.keys() - {"self"}, key=len, reverse=True)


def refusal(error: BaseException, given: Given) -> str | None:
    """One line for an exception that Lightning's own code has raised, or a library that it called.

    Args:
        error: The exception.
        given: What the command was given.

    Returns:
        Key and message; null if the exception is of other code, which its traceback leads to.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    last = next((frame for frame in reversed(frames) if _is_lightning(frame) or _is_own(frame)), None)
    if last is None or not _is_lightning(last):
        return None
    text = " ".join(str(error).split()) or linecache.getline(last.f_code.co_filename, _line(error, last)).strip()
    if not isinstance(error, _PLAIN):
        text = f"{text} ({type(error).__name__})"
    return f"{_key(frames, text, given)}: {text}"


def _key(frames: Sequence[FrameType], text: str, given: Given) -> str:
    """Of the callback that was at work, or of the argument of the Trainer that the message speaks of."""
    values = [*given.flags, *((".".join(entry.path), entry.value) for entry in entries_of(given))]
    for frame in reversed(frames):
        if isinstance(found := frame.f_locals.get("self"), Callback):
            name = type(found).__name__
            if hasattr(found, "config_key") or any(name in value for _, value in values):
                return str(getattr(found, "config_key", f"trainer.callbacks.{name}"))
    for pattern in (r"Trainer\({}=", r"`{}\b", r"\b{}\b"):
        spoken = {name: match.start() for name in _PARAMETERS if (match := re.search(pattern.format(name), text))}
        if spoken:
            return f"trainer.{min(spoken, key=lambda name: spoken[name])}"
    modules = [f".{_name(frame)}" for frame in reversed(frames) if _is_lightning(frame)]
    rooms = [f"trainer.{name}" for module in modules for name in _PARAMETERS if f".{name[:-1]}" in module]
    named = [key for key, value in values if key.startswith("trainer.") and _speaks_of(text, value)]
    return [*named, *rooms, "trainer"][0]


def _speaks_of(text: str, value: str) -> bool:
    return len(value) > 1 and re.search(rf"\b{re.escape(value)}\b", text) is not None


def _name(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_lightning(frame: FrameType) -> bool:
    """Whether a frame is Lightning's, its command line aside: that calls what a configuration names."""
    return _name(frame).startswith(_LIGHTNING) and _name(frame) != "lightning.pytorch.cli"


def _is_own(frame: FrameType) -> bool:
    """Whether a frame is of this package or of a user's code, not of a library."""
    file = frame.f_code.co_filename
    return _name(frame).startswith("mtl_lightning") or not (file.startswith(_LIBRARIES) or file.startswith("<"))


def _line(error: BaseException, frame: FrameType) -> int:
    return next(line for found, line in traceback.walk_tb(error.__traceback__) if found is frame)
