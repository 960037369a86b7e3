"""Training splits that are read as they come."""

import gzip
import json
import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, IterableDataset, List, SplitDict, SplitInfo, Value
from lightning.pytorch import Callback, Trainer

from mtl_lightning.data import (
    Alternating,
    ColumnSplit,
    DataSource,
    FileSource,
    FixedProbabilities,
    HubSource,
    Moment,
    MultiTaskDataModule,
    RoundRobin,
    StepBatch,
    Streaming,
)
from mtl_lightning.data.examples import ExampleEncoder
from mtl_lightning.data.sampler import StepSampler
from mtl_lightning.data.sources import hub
from mtl_lightning.data.streams.passes import StreamPasses
from mtl_lightning.data.streams.reader import StreamReader
from mtl_lightning.encoders import TablePerceptron, TransformerEncoder
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import ColumnStatistics
from mtl_lightning.tasks import IGNORE, SequenceClassification, TokenClassification
from mtl_lightning.training.module import MultiTaskModule

BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}
QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
LABELS = {"topic": "topic", "tags": "tags"}


def rows(number: int, start: int = 0) -> Iterator[dict[str, Any]]:
    for i in range(start, start + number):
        words = [f"w{i}"] * (i * 7 % 5 + 1)
        yield {
            "id": i,
            "words": words,
            "topic": None if i % 3 == 0 else "xy"[i % 2],
            "tags": ["OA"[i % 2]] * len(words),
        }


def stream(number: int) -> IterableDataset:
    return IterableDataset.from_generator(rows, gen_kwargs={"number": number})


class Streamed(DataSource):
    """What a user may write."""

    def __init__(self, number: int = 40, val: Any = None, on_bad_row: Any = "error", **options: Any) -> None:
        super().__init__({"tokens": "words"}, LABELS, on_bad_row=on_bad_row)
        self.streaming = Streaming(**{"num_examples": number, **options}) if options is not None else None
        self.number = number
        self.val = val

    def load(self) -> Mapping[str, Any]:
        val = Dataset.from_list(list(rows(6, start=100))) if self.val is None else self.val
        return {"train": stream(self.number), "val": val}


def tasks() -> dict[str, Any]:
    return {
        "topic": SequenceClassification(labels=["x", "y"]),
        "tags": TokenClassification(labels=["O", "A"]),
    }


def passes(
    number: int, num_examples: int | None = None, batch: int = 4, replicas: int = 1, buffer: int = 16, **changes: Any
) -> StreamPasses:
    source = Streamed(number, num_examples=num_examples or number, buffer=buffer)
    processor = TextProcessor(character_tokenizer("ascii"), max_length=changes.pop("max_length", 32))
    encode = ExampleEncoder(changes.pop("source", source), processor, tasks())
    return StreamPasses("s", changes.pop("examples", stream(number)), encode, batch, replicas)


def sampler(rank: int = 0, replicas: int = 1, schedule: Any = None, seed: int = 0, **changes: Any) -> StepSampler:
    lengths = {"t": np.arange(20) % 7 + 1}
    return StepSampler(
        lengths,
        {"t": {"topic": np.ones(20, dtype=int)}},
        {"t": 3, "s": 4},
        schedule or RoundRobin(),
        lambda epoch: Moment(seed, epoch),
        rank,
        replicas,
        streams={"s": passes(**{"number": 40, "replicas": replicas, **changes})},
    )


def epoch(planned: StepSampler, number: int) -> list[Any]:
    planned.set_epoch(number)
    return list(planned)


# -- reader ------------------------------------------------------------------------------------------------------------
def ids(found: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in found]


def test_a_stream_that_ends_begins_anew() -> None:
    reader = StreamReader(stream(5))
    assert [ids(reader.take(n)) for n in (3, 3, 10)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3, 4, 0, 1, 2, 3, 4, 0]]
    assert reader.taken == 16


def shards(folder: Path) -> IterableDataset:
    """Two files."""
    from datasets import load_dataset

    for number, (start, size) in enumerate(((0, 7), (7, 4))):
        Dataset.from_list(list(rows(size, start))).to_parquet(folder / f"train-{number}.parquet")
    return load_dataset(str(folder), split="train", streaming=True)


@pytest.mark.parametrize("kind", ["generator", "files", "mapped"])
@pytest.mark.parametrize("taken", [0, 1, 7, 9, 11, 12, 25])
def test_another_reader_goes_on(kind: str, taken: int, tmp_path: Path) -> None:
    def made() -> IterableDataset:
        examples = stream(11) if kind == "generator" else shards(tmp_path)
        return examples.map(lambda row: {"id": row["id"]}) if kind == "mapped" else examples

    first = StreamReader(made())
    first.take(taken)
    state = json.loads(json.dumps(first.state()))
    rest = [ids(first.take(n)) for n in (2, 13)]
    other = StreamReader(made())
    other.take(5)
    other.restore(state)
    assert other.state() == state
    assert [ids(other.take(n)) for n in (2, 13)] == rest
    first.restore(state)
    assert [ids(first.take(n)) for n in (2, 13)] == rest
    whole = StreamReader(made())
    seen = ids(whole.take(taken)) + [row for part in rest for row in part]
    assert all(sorted(seen[start : start + 11]) == list(range(11)) for start in range(0, len(seen) - 10, 11))


def breaks_off() -> Iterator[dict[str, Any]]:
    yield from rows(3)
    raise OSError("connection  lost")


def test_streams_that_cannot_be_read() -> None:
    with pytest.raises(UserError, match="the stream holds no examples"):
        StreamReader(stream(0)).take(1)
    reader = StreamReader(IterableDataset.from_generator(breaks_off))
    assert len(reader.take(3)) == 3
    with pytest.raises(UserError, match="the stream breaks off after 3 examples: connection lost"):
        reader.take(1)


# -- draws -------------------------------------------------------------------------------------------------------------
def test_every_example_once_a_turn_and_epochs_go_on() -> None:
    made = passes(number=22, num_examples=12)
    assert made.sizes.tolist() == [4, 4, 4]
    drawn = [[d.columns["row"].tolist() for d in made.draws([1, 2, 1, 1], 0, [0, e, 0])] for e in range(3)]
    assert [[len(part) for part in found] for found in drawn] == [[4, 8, 4, 4]] * 3
    numbers = [row for found in drawn for part in found for row in part]
    assert sorted(numbers) == list(range(60))
    assert all(sorted(numbers[start : start + 20]) == list(range(start, start + 20)) for start in (0, 20, 40))
    assert numbers != sorted(numbers)


def test_draws_hold_what_the_rows_say() -> None:
    """Row 22 is the first one again."""
    for drawn in passes(number=22).draws([1] * 9, 0, [0, 0, 0]):
        for i, row in enumerate(drawn.columns["row"]):
            (raw,) = rows(1, int(row) % 22)
            assert (
                drawn.columns["length"][i]
                == len("".join(raw["words"])) + 2
                == len(drawn.columns["inputs/input_ids"][i])
            )
            assert drawn.columns["targets/topic"][i] == (IGNORE if raw["topic"] is None else "xy".index(raw["topic"]))
            assert drawn.columns["targets/tags"][i].tolist() == ["OA".index(tag) for tag in raw["tags"]]
            assert drawn.columns["counts/topic"][i] == (raw["topic"] is not None)
            assert drawn.columns["counts/tags"][i] == len(raw["tags"])
        assert {n.split("/")[0] for n in drawn.columns} == {"row", "length", "inputs", "targets", "counts"}


def test_batches_hold_similar_lengths_and_come_in_random_order() -> None:
    drawn = list(passes(number=400, buffer=400).draws([1] * 100, 0, [0, 0, 0]))
    lengths = [d.columns["length"] for d in drawn]
    assert sum(np.ptp(found) for found in lengths) / 100 < 0.5
    firsts = [int(found[0]) for found in lengths]
    assert firsts not in (sorted(firsts), sorted(firsts, reverse=True))


def alike(number: int) -> Iterator[dict[str, Any]]:
    yield from ({"words": ["w"], "topic": "x", "tags": ["O"]} for _ in range(number))


def test_each_buffer_is_shuffled_in_another_way() -> None:
    def orders(key: list[int], made: StreamPasses) -> list[list[int]]:
        rows = [int(row) for d in made.draws([1] * 8, 0, key) for row in d.columns["row"]]
        return [[row - min(part) for row in part] for part in (rows[:16], rows[16:])]

    def made() -> StreamPasses:
        return passes(32, examples=IterableDataset.from_generator(alike, gen_kwargs={"number": 32}))

    once = made()
    found = [order for key in ([0, 0, 0], [0, 1, 0]) for order in orders(key, once)]
    found += [order for key in ([1, 0, 0], [0, 0, 1]) for order in orders(key, made())]
    assert orders([0, 0, 0], made()) == found[:2]
    assert all(sorted(order) == list(range(16)) != order for order in found)
    assert len({tuple(order) for order in found}) == 8


@pytest.mark.parametrize("buffer", [1, 4, 11, 16, 1000])
def test_the_buffer_holds_no_more(buffer: int) -> None:
    made = passes(number=40, buffer=buffer)
    taken = []
    take = made._reader.take
    made._reader.take = lambda number: (taken.append(number), take(number))[1]  # type: ignore[method-assign]
    assert sum(map(len, made.draws([1, 2, 1, 1, 1], 0, [0, 0, 0]))) == 24
    assert sum(taken) == 24
    assert max(taken) <= max(buffer, 8)
    assert len(taken) == {1: 5, 4: 5, 11: 4, 16: 2, 1000: 1}[buffer]


@pytest.mark.parametrize("skip", [0, 1, 3, 4, 5, 9])
def test_skipped_draws_are_those_of_the_start(skip: int) -> None:
    sizes = [1, 2, 1, 1, 1, 1, 1, 2, 1]

    def drawn(skip: int, made: StreamPasses) -> list[list[int]]:
        return [d.columns["row"].tolist() for d in made.draws(sizes, skip, [0, 0, 0])]

    made = passes(40)
    assert drawn(skip, made) == drawn(0, passes(40))[skip:]
    assert made.state(1) == {**passes(40)._reader.state(), **made.state(1)}
    assert made.state(1)["taken"] == 44


def test_an_epoch_that_is_cut_short_or_gone_through_again() -> None:
    made = passes(40)

    def drawn(epoch: int) -> Iterator[list[int]]:
        return (d.columns["row"].tolist() for d in made.draws([1] * 8, 0, [0, epoch, 0]))

    first = list(islice(drawn(0), 2))
    assert list(islice(drawn(0), 2)) == first
    before = made.state(1)
    second = list(drawn(1))
    assert made.state(1) == before
    assert min(map(min, second)) == 16
    assert list(drawn(1)) == second
    other = passes(40)
    other.restore(1, before)
    assert [d.columns["row"].tolist() for d in other.draws([1] * 8, 0, [0, 1, 0])] == second


@pytest.mark.parametrize("number", [0, 3, 4, 6, 9])
def test_what_was_read_and_not_drawn_comes_next_in_batches_of_another_size(number: int) -> None:
    """Of 40 examples in buffers of 16, in batches of 4, then of 3, then of 6."""
    key, sizes = [0, 0, 0], [1] * 10
    first = passes(40)
    seen = [row for draw in islice(first.draws(sizes, 0, key), number) for row in draw.columns["row"]]
    begun = first.rest(sizes, number, key)
    second = passes(40, batch=3)
    after = [1] * ((40 - len(seen)) // 3)
    seen += [row for draw in islice(second.draws(after, 0, key, begun), 1) for row in draw.columns["row"]]
    rest = second.rest(after, 1, key, begun)
    third = passes(40, batch=6)
    for draw in third.draws([1] * ((40 - len(seen)) // 6), 0, key, rest):
        assert len(draw) == 6
        seen += list(draw.columns["row"])
    assert len(seen) == len(set(seen)) > 34 and max(seen) < 40
    skipped = [d.columns["row"].tolist() for d in passes(40, batch=6).draws([1, 1], 1, key, rest)]
    assert skipped == [d.columns["row"].tolist() for d in passes(40, batch=6).draws([1, 1], 0, key, rest)][1:]


# -- sampler -----------------------------------------------------------------------------------------------------------
def test_processes_see_different_examples_and_know_each_others_labels() -> None:
    ranks = [epoch(sampler(rank, replicas=2), 1) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == 5
    seen: list[int] = []
    for plans in zip(*ranks, strict=True):
        parts = [plan["s"] for plan in plans]
        seen += [row for part in parts for row in part.indices]
        assert [part.step_size for part in parts] == [8, 8]
        assert [len(part.indices) for part in parts] == [4, 4]
        for task, of_table in (("topic", True), ("tags", False)):
            counts = [int(part.examples.columns[f"counts/{task}"].sum()) for part in parts]
            table = [len(plan["t"].indices) if of_table else 0 for plan in plans]
            total = sum(counts) + sum(table)
            assert [part.shares[task] for part in parts] == pytest.approx([2 * count / total for count in counts])
            if of_table:
                assert [plan["t"].shares[task] for plan in plans] == pytest.approx([2 * n / total for n in table])
    assert sorted(seen) == list(range(40))


def test_plans_are_a_function_of_seed_and_epoch() -> None:
    def indices(found: list[Any]) -> list[Any]:
        return [{name: part.indices for name, part in plan.items()} for plan in found]

    assert indices(epoch(sampler(), 0)) == indices(epoch(sampler(), 0)) != indices(epoch(sampler(seed=1), 0))
    planned = sampler()
    assert indices(epoch(planned, 0)) != indices(epoch(planned, 1))


def test_schedules_see_the_declared_number() -> None:
    planned = sampler(number=10, num_examples=41, schedule=Alternating())
    assert planned.num_batches == {"t": 7, "s": 11}
    assert len(planned) == len(epoch(planned, 0)) == 22


def test_schedules_may_name_streams() -> None:
    assert len(sampler(schedule=FixedProbabilities({"t": 0.5, "s": 0.5}, epoch_length=4))) == 4


def test_max_tokens_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.max_tokens: 's' is a stream, whose lengths nobody knows"):
        StepSampler({}, {}, {"s": 4}, RoundRobin(), Moment, max_tokens=100, streams={"s": passes(40)})  # type: ignore[arg-type]


# -- in a trainer ------------------------------------------------------------------------------------------------------
class Recorder(Callback):
    def __init__(self) -> None:
        self.seen: list[StepBatch] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(batch)


def model() -> MultiTaskModule:
    torch.manual_seed(0)
    encoder = TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=20)
    return MultiTaskModule(encoder, tasks())


def data(source: DataSource | None = None, **changes: Any) -> MultiTaskDataModule:
    table = FileSource({"train": "t.jsonl", "val": "t.jsonl"}, {"tokens": "words"}, {"topic": "topic"}, root=".")
    return MultiTaskDataModule(
        **{"datasets": {"s": source or Streamed(buffer=16), "t": table}, "batch_size": 4, **changes}
    )


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table, in which all happens."""
    monkeypatch.chdir(tmp_path)
    Path("t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(12, start=200)))
    return tmp_path


def fit(
    data: MultiTaskDataModule, net: MultiTaskModule | None = None, ckpt_path: str | None = None, **changes: Any
) -> tuple[Recorder, Trainer]:
    recorder = Recorder()
    options = {"max_epochs": 2, "accelerator": "cpu", "enable_checkpointing": False, "num_sanity_val_steps": 0, **QUIET}
    trainer = Trainer(**{**options, "callbacks": [recorder], **changes})
    trainer.fit(net or model(), datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return recorder, trainer


def examples(recorder: Recorder) -> list[dict[str, list[int]]]:
    return [{name: part.examples for name, part in batch.items()} for batch in recorder.seen]


def test_workers_make_the_same_batches_of_a_stream() -> None:
    plain, workers = (fit(data(num_workers=number))[0] for number in (0, 2))
    assert examples(plain) == examples(workers)
    assert len(plain.seen) == 20
    assert sorted(row for step in examples(plain) for row in step["s"]) == list(range(80))
    for ours, theirs in zip(plain.seen, workers.seen, strict=True):
        for name, part in ours.items():
            assert (part.counts, part.shares, part.num_tokens) == (
                theirs[name].counts,
                theirs[name].shares,
                theirs[name].num_tokens,
            )
            for mine, his in ((part.inputs, theirs[name].inputs), (part.targets, theirs[name].targets)):
                assert all(torch.equal(value, his[key]) for key, value in mine.items())


def test_batches_are_those_of_the_same_rows_in_a_table() -> None:
    class Table(Streamed):
        def load(self) -> Mapping[str, Any]:
            return {**super().load(), "train": Dataset.from_list(list(rows(40)))}

    streamed, table = (fit(data(source), max_epochs=1)[0].seen for source in (Streamed(), Table()))
    in_table = [{row: (part, i) for part in [step["s"]] for i, row in enumerate(part.examples)} for step in table]
    where = {row: found for step in in_table for row, found in step.items()}
    for step in streamed:
        for i, row in enumerate(step["s"].examples):
            part, j = where[row]
            for name, value in {**step["s"].inputs, **step["s"].targets}.items():
                other = {**part.inputs, **part.targets}[name][j]
                width = min(value[i].numel(), other.numel())
                assert value.dtype == other.dtype
                assert torch.equal(value[i].reshape(-1)[:width], other.reshape(-1)[:width])
        assert step["s"].inputs["input_ids"].shape[1] == int(step["s"].inputs["attention_mask"].sum(1).max())


class Save(Callback):
    """Saves after some batches, and at the end of every epoch."""

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        trainer.save_checkpoint(f"{trainer.global_step}.ckpt")

    def on_train_epoch_end(self, trainer: Any, *args: Any) -> None:
        trainer.save_checkpoint(f"epoch-{trainer.current_epoch}.ckpt")


@pytest.fixture
def uninterrupted() -> tuple[Recorder, Trainer]:
    recorder = Recorder()
    _, trainer = fit(data(), callbacks=[recorder, Save()])
    return recorder, trainer


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_goes_on_as_if_it_had_not_stopped(uninterrupted: tuple[Recorder, Trainer], num_workers: int) -> None:
    """Saved within a buffer, at its end, before and after an epoch's end."""
    recorder, trainer = uninterrupted
    for name, step in (("3", 3), ("8", 8), ("10", 10), ("epoch-0", 10), ("13", 13)):
        if num_workers and step != 3:
            continue
        resumed, again = fit(data(num_workers=num_workers), ckpt_path=f"{name}.ckpt")
        assert examples(resumed) == examples(recorder)[step:]
        for ours, theirs in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_schedules_and_exposure_know_the_declared_number() -> None:
    made = data(Streamed(100, num_examples=30))
    _, trainer = fit(made, max_epochs=1)
    assert trainer.global_step == 8
    assert made.sizes == {"t": 12, "s": 30}


# -- sources -----------------------------------------------------------------------------------------------------------
def files(train: str, **changes: Any) -> FileSource:
    options = {"files": {"train": train, "val": "t.jsonl"}, "inputs": {"tokens": "words"}, "labels": LABELS}
    return FileSource(**{**options, "streaming": Streaming(num_examples=8), **changes})


def test_files_are_streamed_as_they_are_read_into_tables(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows(8))
    Path("s.jsonl").write_text(lines)
    Path("s.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    Dataset.from_list(list(rows(8))).to_parquet("s.parquet")
    Path("s.tsv").write_text(
        "words\ttopic\n" + "".join(f"{' '.join(r['words'])}\t{r['topic'] or ''}\n" for r in rows(8))
    )
    Path("s.conll").write_text(
        "\n\n".join("\n".join(f"{w}\t{t}" for w, t in zip(r["words"], r["tags"], strict=True)) for r in rows(8))
    )
    for name, changes in {
        "s.jsonl": {},
        "s.jsonl.gz": {},
        "s.parquet": {},
        "s.tsv": {"labels": {"topic": "topic"}},
        "s.conll": {"labels": {"tags": "tags"}, "columns": ["words", "tags"]},
    }.items():
        found = files(name, **changes).load()
        assert isinstance(found["train"], IterableDataset) and isinstance(found["val"], Dataset)
        assert list(found["train"]) == files(name, streaming=None, **changes).load()["train"].to_list()


def test_train_on_a_streamed_file() -> None:
    Path("s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(10)))
    recorder, _ = fit(data(files("s.jsonl")), max_epochs=5)
    assert sorted(row for step in examples(recorder) for row in step["s"]) == list(range(60))  # 3 steps: the table's


def test_the_hub_streams_labels_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["x", "y"]
    features = Features(
        {"words": List(Value("string")), "topic": ClassLabel(names=names), "tags": List(ClassLabel(names=["O", "A"]))}
    )
    raw = [
        {
            "words": r["words"],
            "topic": -1 if r["topic"] is None else names.index(r["topic"]),
            "tags": ["OA".index(t) for t in r["tags"]],
        }
        for r in rows(8)
    ]
    folder = tmp_path / "hub"
    folder.mkdir()
    for split in ("train", "validation"):
        Dataset.from_list(raw, features=features).to_parquet(folder / f"{split}.parquet")
    options = {
        "path": str(folder),
        "inputs": {"tokens": "words"},
        "labels": LABELS,
        "splits": {"train": "train", "val": "validation"},
    }
    source = HubSource(**options, streaming=Streaming(num_examples=8))
    expected = [{"words": r["words"], "topic": r["topic"], "tags": r["tags"]} for r in rows(8)]
    loaded = source.load()
    assert isinstance(loaded["train"], IterableDataset)
    assert list(loaded["train"]) == loaded["val"].to_list() == expected
    load = hub.load_dataset

    def with_sizes(*args: Any, **kwargs: Any) -> Any:
        found = load(*args, **kwargs)
        if kwargs.get("streaming"):
            found.info.splits = SplitDict({"train": SplitInfo("train", num_examples=8)})
        return found

    monkeypatch.setattr(hub, "load_dataset", with_sizes)
    source = HubSource(**options, streaming=Streaming(buffer=5))
    source.load()
    assert source.streaming == Streaming(num_examples=8, buffer=5)
    source = HubSource(**options, streaming=Streaming(num_examples=3))
    source.load()
    assert source.streaming == Streaming(num_examples=3)


# -- messages ----------------------------------------------------------------------------------------------------------
class Silent(Streamed):
    """Does not say how the stream is read."""

    def load(self) -> Mapping[str, Any]:
        self.streaming = None
        return super().load()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Silent(), r"data\.datasets\.s: split 'train' is a stream, so the source must say how it is read: `streaming`"),
        (Streamed(num_examples=None), r"data\.datasets\.s\.streaming\.num_examples is missing: how many"),
        (Streamed(on_bad_row="skip"), r"data\.datasets\.s: a stream cannot skip bad rows.*`on_bad_row: error`"),
        (Streamed(val=stream(3)), r"data\.datasets\.s: split 'val' is a stream; only 'train' may be one"),
        (Streamed(0, num_examples=5), r"data\.datasets\.s: the stream holds no examples"),
    ],
    ids=["not-declared", "no-number", "skip", "val", "empty"],
)
def test_what_streams_cannot_do(source: DataSource, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(data(source))


def test_labels_must_be_configured() -> None:
    encoder = TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=20)
    net = MultiTaskModule(encoder, {**tasks(), "tags": TokenClassification()})
    with pytest.raises(
        UserError, match=r"model\.tasks\.tags: data set 's' is a stream, which nobody has read .*`labels`"
    ):
        fit(data(), net)


def table_of(folder: Path, streaming: Streaming | None, **inputs: str) -> FileSource:
    columns: Any = inputs or {"categorical": "colour", "numeric": "size"}
    return FileSource({"train": "t.csv", "val": "v.csv"}, columns, {"topic": "topic"}, str(folder), streaming=streaming)


@pytest.mark.parametrize("learn_from", [None, 4, 100])
def test_columns_are_learnt_before_training_starts(tmp_path: Path, learn_from: int | None) -> None:
    rows = [f"{'red' if n % 3 else 'blue'}{n // 8},{n},{'xy'[n % 2]}" for n in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["colour,size,topic", *rows]) + "\n")
    (tmp_path / "v.csv").write_text("\n".join(["colour,size,topic", *rows[:4]]) + "\n")
    found = []
    for source in (table_of(tmp_path, Streaming(12, 6, learn_from)), table_of(tmp_path, None)):
        net = MultiTaskModule(TablePerceptron(), {"topic": SequenceClassification(labels=["x", "y"])})
        fit(data(datasets={"s": source}), net)
        found.append(net.encoder.processor.plain.statistics)  # type: ignore[union-attr]
    if learn_from == 4:
        assert found[0] == ColumnStatistics((("blue0", "red0"),), (1.5,), (np.std(range(4)),))
    else:
        assert found[0] == found[1]


def test_a_column_that_a_stream_lacks_is_named_before_training_starts(tmp_path: Path) -> None:
    for name in ("t.csv", "v.csv"):
        (tmp_path / name).write_text("colour,topic\nred,x\n")
    source = table_of(tmp_path, Streaming(12), categorical="color")
    net = MultiTaskModule(TablePerceptron(), {"topic": SequenceClassification(labels=["x", "y"])})
    message = r"data\.datasets\.s: inputs: the first 1 examples have no column 'color'; did you mean 'colour'"
    with pytest.raises(UserError, match=message):
        fit(data(datasets={"s": source}), net)


@pytest.mark.parametrize(("name", "value"), [("num_examples", 0), ("buffer", 0), ("buffer", -1), ("learn_from", 0)])
def test_bad_numbers(name: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"streaming\.{name} must be at least 1, found {value}"):
        Streaming(**{name: value})


def test_a_single_file_cannot_be_divided() -> None:
    with pytest.raises(UserError, match="`streaming` needs a file of its own for `train`"):
        files("s.jsonl", files="s.jsonl", split=ColumnSplit("topic"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"words": ["a"], "topic": "z", "tags": ["O"]}',
            r"s\.jsonl, line 6, column 'topic' \(task 'topic'\): .*'z'.*; fix it$",
        ),
        (
            '{"words": ["a", "b"], "topic": "x", "tags": ["O"]}',
            r"s\.jsonl, line 6, column 'tags'.*1 tags for 2 words.*; fix it$",
        ),
        ("[]", r"s\.jsonl, line 6: expected an object.*; fix it$"),
    ],
    ids=["label", "tags", "no-object"],
)
def test_bad_rows_are_named(line: str, message: str) -> None:
    lines = [json.dumps(row) for row in rows(9)]
    Path("s.jsonl").write_text("\n".join([*lines[:5], line, *lines[5:]]))
    with pytest.raises(UserError, match=message):
        fit(data(files("s.jsonl")))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "words",
            r"data\.datasets\.s\.inputs\.tokens: the first 8 examples have no column 'words'; did you mean 'wordz'",
        ),
        (
            "topic",
            r"data\.datasets\.s\.labels\.topic: the first 8 examples have no column 'topic'; did you mean 'topiz'",
        ),
    ],
    ids=["input", "label"],
)
def test_missing_columns(column: str, message: str) -> None:
    renamed = [{f"{n[:-1]}z" if n == column else n: value for n, value in row.items()} for row in rows(8)]
    Path("s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in renamed))
    with pytest.raises(UserError, match=message):
        fit(data(files("s.jsonl", streaming=Streaming(8, buffer=8))))


def test_texts_that_are_too_long_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "mtl_lightning")
    made = passes(40, max_length=9)
    for number in range(2):
        list(made.draws([1] * 8, 0, [0, number, 0]))
    (record,) = caplog.records
    long = sum((len(row["words"]) - 1) * len(row["words"][0]) >= 7 for row in rows(16))  # the last word's first letter
    assert 0 < long < 16
    assert f"{long} of the 16 examples before the 16th are longer than the encoder's limit" in record.getMessage()
