"""What a command prints: names from data and files reach the terminal as text, never as orders to it."""

from mtl_lightning.terminal.text import printable, printable_json, quoted, quoted_line, quoted_path, say

__all__ = ["printable", "printable_json", "quoted", "quoted_line", "quoted_path", "say"]
