"""How long ``compare`` takes until its plan is on the screen: ``python -m experiments.benchmark.starting``."""

import statistics
import subprocess
import sys
import time

from experiments.benchmark.rows import Row, print_tables, row

COMMAND = [
    *(sys.executable, "-m", "mtl_lightning", "compare"),
    *("--weightings", "all", "--tune", "8", "--seeds", "5", "--pairs", "true", "--dry_run"),
]
LAST = "of the search, scored on the"
"""What the last line of a plan says; the estimate comes after it."""
GOAL = 0.5  # seconds


def measure(times: int = 7) -> list[Row]:
    """The rows of the benchmark.

    Args:
        times: How often the command is started; once more to warm up the cache of files.
    """
    seconds = statistics.median([_seconds_to_plan() for _ in range(times + 1)][1:])
    title = "compare, every weighting and pairs of three tasks: time to the plan"
    return [row(title, "half a second", 3, 1.0), row(title, "the plan", 3, seconds / GOAL, 1.0)]


def _seconds_to_plan() -> float:
    start = time.perf_counter()
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if not any(LAST in line for line in process.stdout):
                raise RuntimeError(f"no plan was printed by {' '.join(COMMAND)}")
            return time.perf_counter() - start
        finally:
            process.kill()


if __name__ == "__main__":
    print_tables(measure())
