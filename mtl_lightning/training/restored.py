"""Whether what a checkpoint has put into a run is of the kinds that were there before."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.optim import LBFGS, Optimizer

from mtl_lightning.errors import UserError, shown

_KINDS: dict[str, Any] = {
    "a number": int | float | Tensor,
    "text": str,
    "a mapping": Mapping,
    "a list": list | tuple,
}


class Restored:
    """Compares objects before and after their states are loaded: most take whatever they are given.

    A text in the place of early stopping's count would end the run at a later validation, without a word of the
    checkpoint.
    """

    def __init__(self) -> None:
        self._watched: list[tuple[str, Callable[[], Mapping[str, Any]], dict[str, str]]] = []

    def watch(self, name: str, attributes: Callable[[], Mapping[str, Any]]) -> None:
        """Notes what an object is made of.

        Args:
            name: For messages.
            attributes: What changes when it is restored.
        """
        kinds = {key: kind for key, value in attributes().items() if (kind := _kind(value)) is not None}
        self._watched.append((name, attributes, kinds))

    def check(self) -> None:
        """Compares what was watched so far.

        Raises:
            UserError: If something is of another kind now.
        """
        watched, self._watched = self._watched, []
        for name, attributes, kinds in watched:
            for key, value in attributes().items():
                if key in kinds and value is not None and _kind(value) != kinds[key]:
                    raise _misfit(f"`{key}` of {name} must be {kinds[key]}, found {shown(value)}")


def refuse_odd_state(optimizer: Optimizer) -> None:
    """Makes sure that a restored optimizer keeps for each parameter what has its shape.

    Those of torch keep one number, or as many as the parameter has, or as its rows or columns; others keep what they
    like.

    Args:
        optimizer: After its state was loaded.

    Raises:
        UserError: If something else is there.
    """
    known = type(optimizer).__module__.startswith("torch.optim") and not isinstance(optimizer, LBFGS)
    for parameter, state in optimizer.state.items() if known else ():
        if not isinstance(parameter, Tensor):
            raise _misfit("the optimizer has a state of a parameter that there is not")
        for key, value in state.items():
            if parameter.numel() and not _belongs(value, parameter):  # empty: it was replaced during the run
                found = f"the shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise _misfit(f"the optimizer's `{key}` has {found} where the parameter has {list(parameter.shape)}")


def refuse_odd_counts(loops: Mapping[str, Mapping[str, Any]]) -> None:
    """Makes sure that the numbers that say where a run stands are such.

    Args:
        loops: State of each loop, as Lightning saves it.

    Raises:
        UserError: If a count is negative, or is none.
    """
    for loop in loops.values():
        for path, count in _leaves({key: value for key, value in loop.items() if key.endswith("progress")}, ""):
            if not isinstance(count, int) or not 0 <= count < 1 << 62:
                raise _misfit(f"`{path}` is {shown(count)}, not a count")


def _misfit(what: str) -> UserError:
    return UserError(f"ckpt_path: the checkpoint does not fit the run: {what}")


def _kind(value: Any) -> str | None:
    return next((name for name, types in _KINDS.items() if isinstance(value, types)), None)


def _belongs(value: Any, parameter: Tensor) -> bool:
    if not isinstance(value, Tensor):
        return isinstance(value, int | float | None)
    fits = value.dim() == parameter.dim() and all(
        a in (1, b) for a, b in zip(value.shape, parameter.shape, strict=True)
    )
    return value.numel() == 1 or fits


def _leaves(state: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(state, Mapping):
        for key, value in state.items():
            yield from _leaves(value, f"{path}.{key}".lstrip("."))
    else:
        yield path, state
