"""A search that several processes make together, on one machine or several."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from filelock import FileLock

from mtl_lightning.compare.planning.contestants import Contestant
from mtl_lightning.compare.planning.plan import Plan
from mtl_lightning.compare.running.search import Search
from mtl_lightning.errors import UserError
from mtl_lightning.writing import writing


class SharedSearch(Search):
    """A search whose study is in a file, Optuna's journal; every process finds the same trials there.

    Whoever comes first decides on a round, from what is told of the rounds before, by a sampler that is new for each
    round: what is tried does not depend on who it is. Who does which trial is decided by :class:`.Claims`.

    Args:
        contestant: What varies.
        plan: The comparison.
        folder: For the journals. Each is named by what its trials depend on: those of another config have their own.
    """

    def __init__(self, contestant: Contestant, plan: Plan, folder: Path) -> None:
        depends = f"{plan.trial(contestant, {}).key} {sorted(contestant.searched.items())}"
        self._file = folder / f"{hashlib.sha256(depends.encode()).hexdigest()[:16]}.journal"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._file.with_suffix(".lock"))
        super().__init__(contestant, plan)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes from the study.

        Raises:
            UserError: If the journal is broken, or cannot be written.
        """
        try:
            with writing(self._file), self._lock:
                _cut(self._file)
                yield
        except (JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(
                f"{self._file} is broken ({error}); remove it, and the search finds its trials again"
            ) from error

    def _opened(self) -> Any:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        # Optuna's own lock would outlive a process that is killed.
        lock: Any = self._lock
        with self._alone():
            study = self._optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(self._file), lock)),
                study_name=self._file.stem,
                direction="maximize",
                load_if_exists=True,
            )
            for settings in self._first[len(study.get_trials(deepcopy=False)) :]:
                study.enqueue_trial(settings)
        return study

    def _round(self, number: int) -> list[Any]:
        begun = len(self.trials)
        with self._alone():
            asked = [trial for trial in self._trials()[begun : begun + number] if self._is_asked(trial)]
            self._study.sampler = self._sampler(begun + len(asked))
            super()._round(number - len(asked))
            return self._trials()[begun : begun + number]

    def _record(self, trial: Any, value: float | None) -> None:
        with self._alone():
            if not self._trials()[trial.number].state.is_finished():
                super()._record(trial, value)

    def _trials(self) -> list[Any]:
        """All trials of the study by now, by number."""
        return list(self._study.get_trials(deepcopy=False))

    def _is_asked(self, trial: Any) -> bool:
        return bool(trial.state != self._optuna.trial.TrialState.WAITING)


def _cut(journal: Path) -> None:
    """Removes a last line that is not whole, as when the disk was full: what is appended to it would be lost."""
    if journal.exists():
        with journal.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
