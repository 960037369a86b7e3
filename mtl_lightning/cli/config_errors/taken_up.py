"""What goes wrong while classes are built from a configuration, or a checkpoint is loaded into them."""

import traceback
from collections.abc import Sequence
from types import FrameType

from mtl_lightning.cli.configuration.given import Given

_RESTORING = ("restore", "_restore")
"""How the functions of Lightning's ``checkpoint_connector`` begin that load a state into something."""

_BUILDING = ("instantiate_classes", "configure_optimizers")
_MAKERS = ("torch.", "jsonargparse.")
_CONFIGURED = ("mtl_lightning.", "torch.optim.")


def not_taken_up(error: BaseException, given: Given) -> str | None:
    """One line for an exception of any kind that a checkpoint has led to, or a number that no model can have.

    Args:
        error: The exception.
        given: What the command was given.

    Returns:
        What could not be loaded or built, and why; null if the exception is of something else.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return _not_restored(error, frames) or _not_built(error, frames, given)


def _not_restored(error: BaseException, frames: Sequence[FrameType]) -> str | None:
    restoring = [
        frame
        for frame in frames
        if _module(frame).endswith(".checkpoint_connector") and frame.f_code.co_name.startswith(_RESTORING)
    ]
    if not restoring:
        return None
    path = getattr(restoring[-1].f_locals.get("self"), "_ckpt_path", None)
    what = restoring[-1].f_code.co_name.lstrip("_").removeprefix("restore_").replace("_", " ")
    return f"ckpt_path: {path} does not fit the run: its {what} cannot be restored: {_said(error)}"


def _not_built(error: BaseException, frames: Sequence[FrameType], given: Given) -> str | None:
    """Of a checkpoint's configuration whatever is raised; else what this package and libraries say of a value."""
    if not any(frame.f_code.co_name in _BUILDING for frame in frames):
        return None
    own = [number for number, frame in enumerate(frames) if _module(frame).startswith("mtl_lightning.")]
    if given.base is None and not all(
        _module(frame).startswith(_MAKERS) for frame in frames[max(own, default=0) + 1 :]
    ):
        return None
    makers = [type(frame.f_locals.get("self")) for frame in frames if frame.f_code.co_name == "__init__"]
    where = given.base.name if given.base is not None else "the configuration"
    what = next((maker.__name__ for maker in reversed(makers) if maker.__module__.startswith(_CONFIGURED)), "a class")
    return f"{what} cannot be built as {where} says: {_said(error)}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _said(error: BaseException) -> str:
    return f"{' '.join(str(error).split())[:300]} ({type(error).__name__})"
