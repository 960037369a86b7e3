"""How large an input is, and how deeply nested."""

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


def depth(value: Any) -> int:
    """How many lists and objects of a value of JSON are within one another.

    >>> depth([["some", "jazz"], {"text": [3]}])
    3
    """
    count, level = 0, [value]
    while level := [each for each in level if isinstance(each, list | dict)]:
        count += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return count
