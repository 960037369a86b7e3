"""Tables and lines by rich."""

from typing import Any

from rich.console import Console as RichConsole
from rich.text import Text

from mtl_lightning.terminal.text import printable


class Console(RichConsole):
    """rich's console for text that comes from data: no markup, no emoji codes, and no orders to the terminal.

    Every string that is printed, be it a line, a title or a cell of a table, passes :meth:`render_str`.

    Args:
        settings: Of rich's console.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """A string as rich shows it, whatever is in it."""
        return super().render_str(printable(text), **{**settings, "markup": False, "emoji": False})
