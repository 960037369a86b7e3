"""How large an input is."""

from typing import Any


def characters(value: Any) -> int:
    """Characters of all texts in a value of JSON.

    >>> characters([["some", "jazz"], {"text": "x"}, 3])
    13
    """
    count, left = 0, [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            count += len(each)
        elif isinstance(each, list):
            left += each
        elif isinstance(each, dict):
            left += [*each, *each.values()]
    return count
