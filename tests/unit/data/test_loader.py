"""From encoded tables to batches: rows are read, padded and handed over, and waiting for them is known."""

import multiprocessing
import subprocess
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.connectors.data_connector import _worker_check
from patience import until

from mtl_lightning.callbacks import Throughput
from mtl_lightning.data import loader as loading
from mtl_lightning.data.collation import StepDataset, stack
from mtl_lightning.data.columns import integers, read_rows
from mtl_lightning.data.evaluation_sampler import SequentialSampler
from mtl_lightning.data.loader import StepLoader, default_num_workers, step_loader
from mtl_lightning.data.sampler import Rows
from mtl_lightning.padding import pad

ROWS = [
    {"n": 3, "x": 0.5, "ids": [1, 2, 3], "image": [[1.0, 2.0], [3.0, 4.0]], "words": ["a", "b"]},
    {"n": -1, "x": None, "ids": [], "image": [[5.0, 6.0], [7.0, 8.0]], "words": []},
    {"n": 2**31 - 1, "x": 2.0, "ids": [4], "image": [[9.0, 0.0], [1.0, 2.0]], "words": ["c"]},
]


@pytest.fixture(params=["whole", "chunked", "selected"])
def table(request: Any) -> Dataset:
    """The same rows, in the forms that tables come in."""
    whole = Dataset.from_list(ROWS)
    if request.param == "chunked":
        return Dataset.from_file(_written(whole))
    return Dataset.from_list([ROWS[1], *ROWS[::-1]]).select([3, 0, 1]) if request.param == "selected" else whole


def _written(table: Dataset) -> str:
    return str(table.map(lambda row: row, writer_batch_size=1, cache_file_name=_path()).cache_files[0]["filename"])


def _path() -> str:
    import datasets

    return f"{datasets.config.HF_DATASETS_CACHE}/chunked.arrow"


# -- columns -----------------------------------------------------------------------------------------------------------
def test_rows_are_read_in_the_order_asked_for(table: Dataset) -> None:
    found = read_rows(table.with_format("arrow"), [2, 0, 2, 1])
    rows = [ROWS[i] for i in (2, 0, 2, 1)]
    assert found["n"].tolist() == [row["n"] for row in rows]
    np.testing.assert_array_equal(found["x"], [2.0, 0.5, 2.0, np.nan])
    assert [ids.tolist() for ids in found["ids"]] == [row["ids"] for row in rows]
    assert all(isinstance(ids, np.ndarray) and ids.dtype == np.int64 for ids in found["ids"])
    assert [np.asarray(image).tolist() for image in found["image"]] == [row["image"] for row in rows]
    assert [list(words) for words in found["words"]] == [row["words"] for row in rows]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_whole_columns(table: Dataset, chunk: int) -> None:
    found = integers(table, ["n"], chunk)["n"]
    assert found.dtype == np.int32
    assert found.tolist() == [3, -1, 2**31 - 1]


# -- padding -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 2], [3]], [[1, 2], [3, 9]]),
        ([[], [3]], [[9], [3]]),
        ([[], []], [[], []]),
        ([np.array([1, 2, 3])], [[1, 2, 3]]),
        ([[], [[1, 2], [3, 4]], [[5, 6]]], [[[9, 9], [9, 9]], [[1, 2], [3, 4]], [[5, 6], [9, 9]]]),
    ],
    ids=["ragged", "first-empty", "all-empty", "alone", "vectors"],
)
def test_pad(rows: list[Any], expected: list[Any]) -> None:
    found = pad(rows, 9)
    assert found.dtype == torch.int64
    assert found.tolist() == expected


def test_labels_are_stacked_by_their_kind() -> None:
    assert stack(np.array([1, -100]), -100).tolist() == [1, -100]
    assert stack([np.array([1, 0]), np.array([2])], -100).tolist() == [[1, 0], [2, -100]]
    numbers = stack(np.array([1.5, np.nan]), float("nan"))
    assert numbers.dtype == torch.float32 and numbers[0] == 1.5 and numbers[1].isnan()
    assert stack([np.array([1.0]), np.array([2.0, 3.0])], float("nan")).isnan().tolist() == [[False, True], [False] * 2]


def test_lists_of_one_length_are_one_array() -> None:
    lists = {"even": [[1, 2], [3, 4], [5, 6]], "uneven": [[1], [2, 3], []], "gaps": [[1, None], [2, 3], [4, 5]]}
    table = Dataset.from_dict({**lists, "empty": [[], [], []]}).with_format("arrow")
    found = read_rows(table, [2, 0])
    assert isinstance(found["even"], np.ndarray) and found["even"].tolist() == [[5, 6], [1, 2]]
    assert [list(row) for row in found["uneven"]] == [[], [1]] and len(found["gaps"]) == len(found["empty"]) == 2


def test_batches_may_be_written_to() -> None:
    """Arrow's memory is read-only; torch would warn."""
    found = read_rows(Dataset.from_list(ROWS).with_format("arrow"), [0])
    for tensor in (stack(found["n"], -100), stack(found["x"], float("nan")), pad(found["ids"], 0)):
        tensor.zero_()


class Stacking:
    """As much of a processor as is asked for."""

    def collate_columns(self, columns: Any, keys: Any = None) -> dict[str, torch.Tensor]:
        return {"x": torch.tensor([float(value) for value in columns["x"]])}


def test_examples_are_named_by_their_rows_in_the_raw_table() -> None:
    """Which differ from those of the encoded one where bad rows were left out."""
    columns = {"row": [3, 7, 9], "length": [1, 2, 3], "inputs/x": [0.3, 0.7, 0.9]}
    labels = {"targets/task": [0, -100, 2], "counts/task": [1, 0, 1]}
    steps = StepDataset({"a": Dataset.from_dict({**columns, **labels})}, Stacking(), {"task": -100})  # type: ignore[arg-type]
    batch = steps[{"a": Rows([2, 0], {"task": 1.0}, 5)}]["a"]
    assert batch.examples == [9, 3]
    assert (batch.inputs["x"].tolist(), batch.targets["task"].tolist()) == (pytest.approx([0.9, 0.3]), [2, 0])
    assert (batch.counts, batch.shares, batch.num_tokens, batch.step_size) == ({"task": 2}, {"task": 1.0}, 4, 5)


# -- waiting -----------------------------------------------------------------------------------------------------------
class Slow(torch.utils.data.Dataset[Any]):
    """Takes 2 seconds for an example."""

    def __init__(self, clock: dict[str, float]) -> None:
        self.clock = clock

    def __getitem__(self, index: int) -> dict[str, int]:
        self.clock["time"] += 2
        return {"index": index}


class Noting(torch.utils.data.Dataset[Any]):
    """Notes which examples it has read."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def __getitem__(self, index: int) -> dict[str, int]:
        (self.notes / str(index)).touch()
        return {"index": index}


def loader(dataset: Any, **changes: Any) -> StepLoader:
    return StepLoader(dataset, **{"batch_size": None, "sampler": range(3), **changes})


def test_waiting_is_timed_but_not_what_is_done_with_a_batch(clock: dict[str, float]) -> None:
    slow, seen = loader(Slow(clock)), []
    for batch in slow:
        clock["time"] += 5
        seen.append((batch, slow.waited))
    assert seen == [({"index": i}, 2 * (i + 1)) for i in range(3)]
    assert len(slow) == 3
    assert len(list(slow)) == 3
    assert slow.waited == 12


def test_workers_prepare_batches_meanwhile(tmp_path: Path) -> None:
    batches = iter(loader(Noting(tmp_path), num_workers=1, persistent_workers=True))
    next(batches)
    until(lambda: len(list(tmp_path.iterdir())) == 3)
    assert len(list(batches)) == 2


class Stub:
    """As much of a trainer as is asked for."""

    world_size = 2
    log_every_n_steps = 2
    global_step = 0
    train_dataloader: Any = None

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []

    def log(self, name: str, value: float, batch_size: int) -> None:
        if name == "train/examples_per_second":
            self.logged.append({})
        self.logged[-1][name.removeprefix("train/")] = value


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"time": 100.0}
    monkeypatch.setattr(time, "perf_counter", lambda: now["time"])
    monkeypatch.setattr(loading, "perf_counter", lambda: now["time"])
    return now


def step(callback: Any, stub: Any, clock: dict[str, float], waits: float, trains: float) -> None:
    from mtl_lightning.data import Batch

    stub.train_dataloader.waited += waits
    clock["time"] += waits + trains
    stub.global_step += 1
    part = Batch({}, {}, {}, {}, examples=[1, 2], num_tokens=30)
    callback.on_train_batch_end(stub, stub, None, {"a": part, "b": part}, 0)


def test_throughput_and_waiting_are_logged(clock: dict[str, float]) -> None:
    stub: Any = Stub()
    callback: Any = Throughput()
    for _ in range(2):  # a callback may see several runs
        stub.logged, stub.global_step, stub.train_dataloader = [], 0, loader([])
        callback.on_train_start(stub, stub)
        clock["time"] += 50
        callback.on_train_epoch_start(stub, stub)
        step(callback, stub, clock, waits=1, trains=3)
        clock["time"] += 1000  # a validation
        callback.on_validation_end(stub, stub)
        step(callback, stub, clock, waits=0, trains=4)
        step(callback, stub, clock, waits=5, trains=5)
        step(callback, stub, clock, waits=0, trains=10)
        step(callback, stub, clock, waits=7, trains=0)
        assert stub.logged == [
            {"examples_per_second": 2.0, "tokens_per_second": 30.0, "data_wait": 1 / 8},
            {"examples_per_second": 0.8, "tokens_per_second": 12.0, "data_wait": 5 / 20},
        ]


def test_loaders_that_do_not_tell(clock: dict[str, float]) -> None:
    stub: Any = Stub()
    stub.train_dataloader = Stub()
    stub.train_dataloader.waited = 0.0
    callback: Any = Throughput()
    callback.on_train_start(stub, stub)
    callback.on_train_epoch_start(stub, stub)
    step(callback, stub, clock, 0, 1)
    del stub.train_dataloader.waited
    stub.global_step += 1
    clock["time"] += 1
    callback.on_train_batch_end(stub, stub, None, {}, 1)
    assert [set(found) for found in stub.logged] == [{"examples_per_second", "tokens_per_second"}]


# -- workers -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("device", "cores", "processes", "expected"),
    [
        ("cpu", 64, 1, 0),
        ("cuda", 64, 1, 4),
        ("cuda", 16, 8, 1),
        ("cuda", 32, 8, 3),
        ("cuda", 2, 1, 1),
        ("mps", 8, 1, 4),
    ],
)
def test_default_number_of_workers(
    monkeypatch: pytest.MonkeyPatch, device: str, cores: int, processes: int, expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert default_num_workers(device, processes) == expected


def test_the_default_is_not_criticised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning advises to have many workers where there are many cores; what the user chose it may criticise."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    for num_workers, criticised in ((0, True), (None, False)):
        with warnings.catch_warnings(record=True) as found:
            warnings.resetwarnings()
            trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
            made = step_loader([], range(3), num_workers, trainer)
            _worker_check(trainer, made, "train_dataloader")
        assert made.num_workers == 0 and not made.pin_memory and not made.persistent_workers
        assert any("many workers" in str(warning.message) for warning in found) == criticised


@pytest.mark.parametrize(("device", "pinned"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_batches_go_through_pinned_memory_to_a_gpu(device: str, pinned: bool) -> None:
    trainer = type("T", (), {"num_devices": 1, "strategy": type("S", (), {"root_device": torch.device(device)})})
    made = step_loader([], range(3), 2, trainer)
    assert (made.pin_memory, made.num_workers, made.persistent_workers) == (pinned, 2, True)


def test_signals_to_the_whole_group_do_not_disturb_workers() -> None:
    """``timeout`` and job systems send SIGTERM to all processes of a run, and a terminal sends Ctrl-C to all."""
    trainer = type("T", (), {"num_devices": 1, "strategy": type("S", (), {"root_device": torch.device("cpu")})})
    batches = iter(step_loader(list(range(100)), range(100), 2, trainer))  # type: ignore[arg-type]
    found = [next(batches)]
    for worker in multiprocessing.active_children():
        subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
        subprocess.run(["kill", "-INT", str(worker.pid)], check=True)
    assert [*found, *batches] == list(range(100))


# -- padding of real batches -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("world", [1, 2])
def test_evaluation_pads_little(world: int) -> None:
    """Lengths as those of sentences: most are short."""
    lengths = np.minimum(np.random.default_rng(0).geometric(0.07, 2000) + 2, 128)
    plans = [list(SequentialSampler({"a": lengths}, {"a": 64}, rank, world)) for rank in range(world)]
    assert sorted(row for found in plans for plan in found for row in plan["a"].indices) == list(range(2000))
    assert len({tuple(len(plan["a"].indices) for plan in found) for found in plans}) == 1
    for rank, found in enumerate(plans):
        batches = [lengths[plan["a"].indices] for plan in found]
        assert all(len(batch) * batch.max() - batch.sum() < 256 + rank * batch.max() for batch in batches)
        assert all(len(batch) <= 64 for batch in batches)
        for before, after in pairwise(batches if rank == 0 else []):
            joined = np.append(before, after[0])
            assert len(before) == 64 or len(joined) * joined.max() - joined.sum() >= 256
        if world == 1:
            assert 1 - lengths.sum() / sum(len(batch) * batch.max() for batch in batches) < 0.08
