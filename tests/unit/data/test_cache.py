"""Tables are encoded once: by several processes if they are large, and by one of the processes that want them."""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset
from patience import PATIENCE, until

from mtl_lightning.data import DataSource, cache
from mtl_lightning.data.cache import made_once, num_encoders
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression

ROWS = [{"v": [float(i), 0.5], "score": i / 2} for i in range(2500)]


class Memory(DataSource):
    def __init__(self, rows: Sequence[Mapping[str, Any]] = ROWS) -> None:
        super().__init__({"features": "v"}, {"score": "score"})
        self.rows = rows

    def load(self) -> dict[str, Dataset]:
        return {"train": Dataset.from_list(self.rows)}


class Noted(TensorProcessor):
    """Writes down which process encoded how many rows; goes on once so many processes have."""

    def __init__(self, notes: Path, processes: int) -> None:
        super().__init__("features", 1)
        self.notes = notes
        self.processes = processes

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        with open(self.notes, "a") as file:
            file.write(f"{os.getpid()} {len(columns['features'])}\n")
        until(lambda: len({pid for pid, _ in noted(self.notes)}) >= self.processes)
        return super().encode(columns)


def encode(notes: Path, source: Memory | None = None, processes: int = 1) -> Dataset:
    source = source or Memory()
    encoding = Encoding("mine", source, Noted(notes, processes), {"score": Regression(mean=0.0, std=1.0)})
    return encoding(source.load()["train"], "train")


def noted(notes: Path) -> list[tuple[int, int]]:
    return [(int(pid), int(rows)) for pid, rows in (line.split() for line in notes.read_text().splitlines())]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes any table a large one, on two cores."""
    monkeypatch.setattr(cache, "_ROWS_A_PROCESS", 1000)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})


def test_a_table_in_memory_is_encoded_once(notes: Path) -> None:
    first = encode(notes)
    before = noted(notes)
    again = encode(notes)
    assert sum(rows for _, rows in before) == 2500
    assert noted(notes) == before
    assert again[:]["targets/score"].tolist() == first[:]["targets/score"].tolist() == [i / 2 for i in range(2500)]
    assert Path(again.cache_files[0]["filename"]).is_relative_to(datasets.config.HF_DATASETS_CACHE)
    encode(notes, Memory(ROWS[1:]))
    assert sum(rows for _, rows in noted(notes)) == 4999


@pytest.mark.usefixtures("large")
def test_large_tables_are_divided_among_processes(notes: Path) -> None:
    environment, before = os.environ, dict(os.environ)
    encoded = encode(notes, processes=2)
    assert os.environ is environment and dict(environment) == before
    found = noted(notes)
    assert {pid for pid, _ in found} == {pid for pid, _ in found} - {os.getpid()}
    assert len({pid for pid, _ in found}) == 2
    assert sum(rows for _, rows in found) == 2500
    assert encoded["row"][:].tolist() == list(range(2500))
    assert [v[0] for v in encoded["inputs/features"][:]] == list(range(2500))
    encode(notes, processes=2)
    assert noted(notes) == found


def test_however_many_processes_encoded_it(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(notes)
    before = noted(notes)
    monkeypatch.setattr(cache, "_ROWS_A_PROCESS", 1000)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    encode(notes)
    assert noted(notes) == before


@pytest.mark.usefixtures("large")
def test_a_bad_row_that_another_process_finds(notes: Path) -> None:
    rows = [{**row, "score": float("inf") if i == 1999 else row["score"]} for i, row in enumerate(ROWS)]
    with pytest.raises(UserError, match=r"data set 'mine', split 'train', row 2000, column 'score'"):
        encode(notes, Memory(rows))


def test_processes_that_come_at_once_wait_for_the_first(notes: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=encode, args=(notes,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    found = noted(notes)
    assert sum(rows for _, rows in found) == 2500
    assert len({pid for pid, _ in found}) == 1


def test_the_next_one_tries_if_the_first_fails() -> None:
    paths = []

    def fail(path: Path) -> None:
        paths.append(path)
        raise UserError("bad")

    with pytest.raises(UserError, match="bad"):
        made_once("a", fail)
    assert [made_once("a", lambda path: path)] == paths
    assert paths[0].parent.is_dir()


@pytest.mark.parametrize(
    ("rows", "cores", "expected"),
    [(10, 8, None), (49_999, 8, None), (50_000, 8, 2), (2_000_000, 8, 8), (2_000_000, 1, None)],
)
def test_number_of_processes(monkeypatch: pytest.MonkeyPatch, rows: int, cores: int, expected: int | None) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert num_encoders(rows) == expected


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("bad", [range(1250), range(1250, 2500), range(0, 2500, 2)], ids=["first", "second", "mixed"])
def test_a_process_may_find_no_good_row(notes: Path, bad: range) -> None:
    source = Memory([{**row, "score": float("inf") if i in bad else row["score"]} for i, row in enumerate(ROWS)])
    source.on_bad_row = "skip"
    good = [i for i in range(2500) if i not in bad]
    encoded = encode(notes, source)
    assert encoded["row"][:].tolist() == good
    assert encoded["targets/score"][:].tolist() == [i / 2 for i in good]
    assert [v[0] for v in encoded["inputs/features"][:]] == good
