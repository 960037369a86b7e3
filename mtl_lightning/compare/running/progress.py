"""The table that shows how far a comparison is."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.live import Live
from rich.table import Table

from mtl_lightning.compare.planning.plan import Plan, Run
from mtl_lightning.compare.running.agenda import Agenda
from mtl_lightning.compare.running.records import KEPT
from mtl_lightning.compare.running.store import Store
from mtl_lightning.duration import duration
from mtl_lightning.terminal.console import Console

_SECONDS_BETWEEN = 2.0
"""The runs need the processor more than the table does."""


class Progress:
    """A live table, a row a contestant; where nobody watches (no terminal), a line for each run that ends.

    Args:
        plan: Of the comparison.
        store: Its runs.
        console: Where to print.
    """

    def __init__(self, plan: Plan, store: Store, console: Console) -> None:
        self._plan = plan
        self._store = store
        self._console = console
        self._started = time.time()
        self._done_here = 0
        self._drawn = float("-inf")
        self._said: dict[str, str] = {}  # the run that each message was first said of
        watched = console.is_terminal and console.file.isatty()  # FORCE_COLOR makes a terminal of files and notebooks
        rate = 1 / _SECONDS_BETWEEN
        self._live = Live(console=console, refresh_per_second=rate, transient=True) if watched else None

    def __enter__(self) -> "Progress":
        """Opens the table."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text, soft_wrap=True)

    def tell(self, run: Run, result: Mapping[str, Any]) -> None:
        """Counts a run that has ended, and says so where there is no table; says in any case what went wrong.

        What went wrong with several runs is said in full once.
        """
        self._done_here += 1
        status = result.get("status", "failed")
        took = duration(result.get("seconds", 0.0))
        score = (result.get("scores") or {}).get("average")
        shown = f"average {score:.4f}" if score is not None else self._why(run, result.get("message", ""))
        if self._live is None or status != "finished":
            self.say(f"{run.name}: {status} after {took}" + (f": {shown}" if shown else ""))

    def _why(self, run: Run, message: str) -> str:
        first = self._said.setdefault(message, run.name)
        return message if first == run.name or not message else f"the same as {first}"

    def show(self, agenda: Agenda, running: Sequence[Run]) -> None:
        """Draws the table anew, if it has not just been."""
        if self._live is not None and time.monotonic() - self._drawn >= _SECONDS_BETWEEN:
            self._live.update(self._table(agenda, running))
            self._drawn = time.monotonic()

    def _table(self, agenda: Agenda, running: Sequence[Run]) -> Table:
        table = Table(title=self._title(agenda, running), title_justify="left")
        for column in ("contestant", "search", "runs", "under way", "went wrong", "average"):
            table.add_column(column, justify="left" if column == "contestant" else "right")
        for contestant in self._plan.contestants:
            runs = agenda.runs.get(contestant.label, [])
            results = [found for run in runs if (found := self._store.result(run)) is not None]
            trials = len(agenda.searches[contestant.label].trials) if contestant.label in agenda.searches else 0
            scores = [score for found in results if (score := (found.get("scores") or {}).get("average")) is not None]
            table.add_row(
                contestant.label,
                f"{trials}/{self._plan.settings.tune}" if contestant.label in agenda.searches else "",
                f"{sum(found['status'] in KEPT for found in results)}/{len(self._plan.settings.seeds)}",
                str(sum(run.contestant.label == contestant.label for run in running) or ""),
                str(sum(found["status"] != "finished" for found in results) or ""),
                f"{sum(scores) / len(scores):.4f}" if scores else "",
            )
        return table

    def _title(self, agenda: Agenda, running: Sequence[Run]) -> str:
        known = agenda.known()
        total = self._plan.num_runs()
        done = sum(self._store.is_done(run) for run in known)
        took = time.time() - self._started
        left = f", about {duration(took / self._done_here * (total - done))} to go" if self._done_here else ""
        return f"{self._plan.name}: {done} of {total} runs, {duration(took)} so far{left}"
