"""Which run comes when: searches first, then the runs that are reported, seed by seed."""

from collections.abc import Iterator, Mapping
from typing import Any

from mtl_lightning.compare.planning.contestants import Contestant
from mtl_lightning.compare.planning.plan import Plan, Run
from mtl_lightning.compare.running.claims import Claims
from mtl_lightning.compare.running.search import Search
from mtl_lightning.compare.running.shared_search import SharedSearch
from mtl_lightning.compare.running.store import Store


class Agenda:
    """Gives out runs and takes note of what they come to; runs that are done already are never given out.

    Args:
        plan: Of the comparison.
        store: Its runs.
        shared: Whether other processes do runs of it at the same time. What breaks from now on, here or there, is left
            as it is; of what broke before, so are trials, as others may have told their searches of them.

    Attributes:
        searches: By contestant's label.
        runs: The runs that are reported, by contestant's label, once its search has ended.
    """

    def __init__(self, plan: Plan, store: Store, shared: bool = False) -> None:
        self.plan = plan
        self.store = store
        folder = store.folder.parent / "shared"
        self._claims = Claims(folder) if shared else None
        self._before = store.broken() if shared else {}
        self.searches: dict[str, Search] = {}
        self.runs: dict[str, list[Run]] = {}
        self._rounds: dict[str, list[Run]] = {}
        self._tried: set[str] = set()
        self._given: set[str] = set()
        self._waiting: list[Run] = []
        for contestant in plan.contestants:
            if plan.settings.tune:
                search = SharedSearch(contestant, plan, folder) if shared else Search(contestant, plan)
                self.searches[contestant.label] = search
                self._next_round(contestant)
            else:
                self._report(contestant, {})

    def next(self) -> Run | None:
        """The next run to start; None while there is none."""
        while (run := self._claimed()) is not None and self._ended_elsewhere(run):
            self.done(run)
        return run

    def _claimed(self) -> Run | None:
        """The first run that waits and that no other process is at."""
        for run in self._waiting:
            if self._claims is None or self._claims.take(run):
                self._waiting.remove(run)
                return run
        return None

    def waits(self) -> bool:
        """Whether there are runs that have not been given out; other processes may be at them."""
        return bool(self._waiting)

    def done(self, run: Run) -> None:
        """Takes note that a run has ended, well or not."""
        self._tried.add(run.key)
        if self._claims is not None:
            self._claims.release(run)
        for label, search in self.searches.items():
            if label not in self.runs:
                self._advance(search.contestant)

    def chosen(self) -> dict[str, dict[str, Any]]:
        """What the searches that have ended chose, by contestant's label."""
        return {label: search.chosen for label, search in self.searches.items() if label in self.runs}

    def known(self) -> list[Run]:
        """All runs that are known of by now, those of the searches first."""
        return [run for runs in (*self._rounds.values(), *self.runs.values()) for run in runs]

    def to_repeat(self) -> list[Run]:
        """The runs that broke, and that the same command tries again."""
        kept = ["tune"] if self._claims is not None else []
        return [run for run in self.known() if run.role not in kept and not self.store.is_done(run)]

    def left(self) -> Iterator[tuple[Contestant, int]]:
        """How many runs of each contestant are still to be done, with those that its search has yet to decide on."""
        for contestant in self.plan.contestants:
            known = (self._rounds.get(contestant.label, []), self.runs.get(contestant.label, []))
            total = self.plan.num_trials(contestant) + len(self.plan.settings.seeds)
            yield contestant, total - sum(self._has_ended(run) for runs in known for run in runs)

    def _next_round(self, contestant: Contestant) -> None:
        tried = self.searches[contestant.label].ask()
        if not tried:
            self._report(contestant, self.searches[contestant.label].chosen)
            return
        trials = [self.plan.trial(contestant, settings) for settings in tried]
        self._rounds.setdefault(contestant.label, []).extend(trials)
        self._enqueue(trials)
        self._advance(contestant)

    def _advance(self, contestant: Contestant) -> None:
        """Goes on with a search once all runs of its round have ended."""
        search = self.searches[contestant.label]
        trials = self._rounds[contestant.label][len(search.trials) :]
        if all(self._has_ended(trial) for trial in trials):
            search.tell([self.store.result(trial) for trial in trials])
            self._next_round(contestant)

    def _report(self, contestant: Contestant, chosen: Mapping[str, Any]) -> None:
        self.runs[contestant.label] = self.plan.runs(contestant, chosen)
        self._enqueue(self.runs[contestant.label])

    def _enqueue(self, runs: list[Run]) -> None:
        order = {seed: position for position, seed in enumerate(self.plan.settings.seeds)}
        for run in runs:
            if not self._has_ended(run) and run.key not in self._given:
                self._given.add(run.key)
                self._waiting.append(run)
        self._waiting.sort(key=lambda run: -1 if run.role == "tune" else order[run.seed])

    def _ended_elsewhere(self, run: Run) -> bool:
        """Whether another process has done a run, if only to see it break."""
        if self._claims is None or (result := self.store.result(run)) is None:
            return False
        return run.role == "tune" or result != self._before.get(run.key)

    def _has_ended(self, run: Run) -> bool:
        return run.key in self._tried or self.store.is_done(run)
