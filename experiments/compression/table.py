"""The table of the results, in Markdown."""

from collections.abc import Mapping
from typing import Any

HEAD = ("", "MB", "compressed", "resident MB", "ms a sentence", "of full")


def table(found: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, str]) -> str:
    """A line for each way.

    Args:
        found: See :func:`experiments.compression.measure.measured`.
        tasks: The metric of each task, by its name.
    """
    head = [*HEAD, *(f"{task}: {metric}" for task, metric in tasks.items())]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, row in found.items():
        sizes = [f"{row[each] / 1e6:.1f}" for each in ("bytes", "compressed")]
        costs = [f"{row['resident'] / 1e6:.0f}", f"{row['milliseconds']:.2f}", f"{row['ratio']:.2f}"]
        lines.append([name, *sizes, *costs, *(f"{row['scores'][task]:.1f}" for task in tasks)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
