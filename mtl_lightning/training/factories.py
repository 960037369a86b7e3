"""Parts of a model that it makes itself."""

from typing import Any

from torch import nn


def refuse_instances(**factories: Any) -> None:
    """Refuses a part that is made already, or only named: the module makes it, since it knows the tasks.

    Raises:
        TypeError: Of such a part; it says what to give.
    """
    for name, given in factories.items():
        if isinstance(given, nn.Module) or not callable(given):
            kind = type(given).__name__ if isinstance(given, nn.Module) else "a class"
            raise TypeError(
                f"{name}: give what makes it, {kind} itself or functools.partial({kind}, ...), not "
                f"{'an instance' if isinstance(given, nn.Module) else repr(given)}; the module tells it the tasks"
            )
