"""What was found, as a table."""

import re
from collections.abc import Iterator, Sequence

from experiments.faults.trying import Found

_LETTERS = 150
_HEAD = ("fault", "started by", "what the run says last", "ends after", "kept", "resumed")


def table(results: Sequence[Found]) -> str:
    """In Markdown, a row for each."""
    lines = [_HEAD, ["---"] * len(_HEAD), *map(_row, results)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _row(found: Found) -> list[str]:
    kept = "nothing" if found.kept is None else f"step {found.kept}"
    seconds = "is refused" if found.seconds is None else f"{found.seconds:.0f} s"
    left = f", {found.left} left" if found.left else ""
    end = "the same" if found.resumed else "**differs**"
    return [found.fault, found.starter, f"`{shortened(found.said)}`", f"{seconds}{left}", kept, end]


def shortened(text: str) -> str:
    """What was said, without what is different each time.

    >>> shortened("error: process 1 on host7 (4711) no longer answers; resume with --ckpt_path /a/b/last.ckpt")
    'error: process 1 on HOST (PID) no longer answers; resume with --ckpt_path RUN/last.ckpt'
    """
    for pattern, name in _NAMES:
        text = re.sub(pattern, name, text)
    return text if len(text) <= _LETTERS else f"{text[:_LETTERS]} …"


def _patterns() -> Iterator[tuple[str, str]]:
    yield r"(?<= on )[\w.-]+(?= \(| has| no)", "HOST"
    yield r"(?<=\()\d{2,}(?=\))", "PID"
    yield r"(?<=process )\d{2,}", "PID"
    yield r"(?<![\w])(?:[\w.-]*/)+(?=[\w.]*ckpt)", "RUN/"
    yield r"(?:/[\w.-]+)+/disk", "RUN"


_NAMES = tuple(_patterns())
