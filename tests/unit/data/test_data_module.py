"""The data module inside a Trainer, and inputs to predict on."""

import gzip
import io
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from mtl_lightning.data import Alternating, Batch, DataSource, MultiTaskDataModule, StepBatch
from mtl_lightning.data.batch_sizes import shares
from mtl_lightning.data.sources.prediction import read_inputs, widest_first
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import IGNORE, Regression, SequenceClassification, TokenClassification
from mtl_lightning.training.module import MultiTaskModule

BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}
QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
SEVERAL = [
    {"words": ["w"] * (i % 4 + 1), "topic": "xy"[i % 2], "tags": ["O", "A", "O", "A"][: i % 4 + 1], "score": i / 2}
    for i in range(14)
]
SEVERAL[3] = {**SEVERAL[3], "topic": None, "tags": None}
SEVERAL[4] = {**SEVERAL[4], "tags": [""]}
SEVERAL[5] = {**SEVERAL[5], "score": None}
SCORES = [{"text": "t" * (i + 1), "rating": float(i) if i % 3 else None} for i in range(7)]


class Memory(DataSource):
    def __init__(self, inputs: Mapping[str, str], labels: Mapping[str, str], **splits: list[dict[str, Any]]) -> None:
        super().__init__(inputs, labels)
        self.splits = splits

    def load(self) -> dict[str, Dataset]:
        return {name: Dataset.from_list(rows) for name, rows in self.splits.items()}


class Recorder(Callback):
    """Keeps the batches of each stage."""

    def __init__(self) -> None:
        self.train: list[StepBatch] = []
        self.val: list[StepBatch] = []
        self.gradients: list[dict[str, bool]] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.train.append(batch)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.gradients.append({name: t.head.weight.grad is not None for name, t in pl_module.tasks.items()})

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any) -> None:
        self.val.append(batch)


def several(**splits: list[dict[str, Any]]) -> Memory:
    labels = {"topic": "topic", "tags": "tags", "score": "score"}
    return Memory({"tokens": "words"}, labels, **(splits or {"train": SEVERAL, "val": SEVERAL[:9]}))


def scores(**splits: list[dict[str, Any]]) -> Memory:
    return Memory({"text": "text"}, {"score": "rating"}, **(splits or {"train": SCORES, "val": SCORES[:5]}))


def model(*names: str) -> MultiTaskModule:
    made = {
        "topic": SequenceClassification(),
        "tags": TokenClassification(),
        "score": Regression(mean=0.0, std=1.0, main_metric="mae"),
    }
    encoder = TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=12)
    return MultiTaskModule(encoder, {name: made[name] for name in names or made})


def data(**changes: Any) -> MultiTaskDataModule:
    return MultiTaskDataModule(**{"datasets": {"several": several(), "scores": scores()}, "batch_size": 4, **changes})


def trainer(**changes: Any) -> Trainer:
    return Trainer(**{"max_epochs": 1, "accelerator": "cpu", "num_sanity_val_steps": 0, **QUIET, **changes})


def fit(data: MultiTaskDataModule, net: MultiTaskModule | None = None, **changes: Any) -> Recorder:
    recorder = Recorder()
    trainer(callbacks=[recorder], log_every_n_steps=1, **changes).fit(net or model(), datamodule=data)
    return recorder


# -- batches -----------------------------------------------------------------------------------------------------------
def test_training_batches() -> None:
    seen = fit(data()).train
    assert [list(batch) for batch in seen] == [["several", "scores"]] * 4
    assert sorted(row for batch in seen for row in batch["several"].examples) == list(range(14))
    assert sorted(row for batch in seen[:2] for row in batch["scores"].examples) == list(range(7))
    for step in seen:
        for name, part in step.items():
            assert isinstance(part, Batch)
            check_batch(name, part)
        assert {task for part in step.values() for task in part.shares} <= {"topic", "tags", "score"}
        numbers = [part.counts["score"] for part in step.values()]
        shares = [part.shares.get("score", 0.0) for part in step.values()]
        assert shares == pytest.approx([number / sum(numbers) for number in numbers])


def check_batch(name: str, part: Batch) -> None:
    rows = [(SEVERAL if name == "several" else SCORES)[i] for i in part.examples]
    width = max(len(row.get("words", row.get("text"))) for row in rows) + 2
    assert part.inputs["input_ids"].shape == part.inputs["attention_mask"].shape == (len(rows), width)
    assert part.inputs["input_ids"].dtype == torch.int64
    assert part.num_tokens == part.inputs["attention_mask"].sum()
    scores = [row["score" if name == "several" else "rating"] for row in rows]
    expected = torch.tensor([math.nan if score is None else score for score in scores])
    assert part.targets["score"].dtype == torch.float32
    torch.testing.assert_close(part.targets["score"], expected, equal_nan=True)
    assert part.counts["score"] == sum(score is not None for score in scores)
    if name == "scores":
        assert set(part.targets) == {"score"}
        return
    topics = [IGNORE if row["topic"] is None else "xy".index(row["topic"]) for row in rows]
    assert_same(part.targets["topic"], torch.tensor(topics))
    tags = torch.full((len(rows), width - 2), IGNORE)
    for i, row in enumerate(rows):
        for j, tag in enumerate(row["tags"] or []):
            if tag:
                tags[i, j] = "AO".index(tag)
    assert_same(part.targets["tags"], tags)
    assert_same((part.inputs["word_starts"] >= 0).sum(1), torch.tensor([len(row["words"]) for row in rows]))
    assert part.counts["topic"] == sum(topic != IGNORE for topic in topics)
    assert part.counts["tags"] == int((tags != IGNORE).sum())


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_task_without_a_label_in_a_step_is_absent() -> None:
    """Alternating: a step of `scores` has no label of `topic` and `tags`, so their heads get no gradient."""
    recorder = fit(data(schedule=Alternating()))
    assert [list(batch) for batch in recorder.train] == [["several"], ["scores"]] * 4
    assert (
        recorder.gradients
        == [
            {"topic": True, "tags": True, "score": True},
            {"topic": False, "tags": False, "score": True},
        ]
        * 4
    )


def test_rows_without_any_label_of_a_task() -> None:
    topics = ["x", None, "y", ""]
    rows = [{**row, "topic": topic} for row, topic in zip(SEVERAL[6:10], topics, strict=True)]
    recorder = fit(data(datasets={"several": several(train=rows, val=rows)}, batch_size=1))
    present = ["topic" in batch["several"].shares for batch in recorder.train]
    assert present == [batch["several"].examples[0] in (0, 2) for batch in recorder.train]
    assert sum(present) == 2
    assert [gradients["topic"] for gradients in recorder.gradients] == present
    assert all(gradients["tags"] for gradients in recorder.gradients)


def test_batch_sizes_by_data_set() -> None:
    sizes = {"several": 5, "scores": 2}
    recorder = fit(data(batch_size=sizes, eval_batch_size={"several": 7, "scores": 3}))
    assert [[len(part.examples) for part in batch.values()] for batch in recorder.train] == [
        [5, 2],
        [5, 2],
        [4, 2],
        [5, 1],
    ]
    assert [(name, len(part.examples)) for batch in recorder.val for name, part in batch.items()] == [
        ("several", 7),
        ("scores", 3),
        ("several", 2),
        ("scores", 2),
    ]


def test_a_step_that_processes_cannot_divide_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.batch_size: the 32 examples .* 'b' cannot be divided by 3 pro"):
        shares({"a": 9, "b": 32}, 3, exact=True)


def test_evaluation_shows_each_example_once_in_twice_the_batch_size() -> None:
    seen = fit(data()).val
    rows = {"several": [], "scores": []}
    for batch in seen:
        ((name, part),) = batch.items()
        rows[name] += part.examples
        assert len(part.examples) <= 8
        assert part.shares == {}
        check_batch(name, part)
    assert {name: sorted(found) for name, found in rows.items()} == {"several": [*range(9)], "scores": [*range(5)]}
    assert len(seen) == 3


def test_workers_make_the_same_batches() -> None:
    plain, workers = (fit(data(num_workers=number)) for number in (0, 2))
    assert len(plain.train) == 4
    for stage in ("train", "val"):
        for ours, theirs in zip(getattr(plain, stage), getattr(workers, stage), strict=True):
            assert list(ours) == list(theirs)
            for name, part in ours.items():
                other = theirs[name]
                assert (part.examples, part.counts, part.shares) == (other.examples, other.counts, other.shares)
                for mine, his in ((part.inputs, other.inputs), (part.targets, other.targets)):
                    assert list(mine) == list(his)
                    for key, value in mine.items():
                        assert_same(his[key], value)


def test_seed_decides_the_order() -> None:
    def orders(seed: int) -> list[list[int]]:
        return [batch["several"].examples for batch in fit(data(seed=seed), max_epochs=2).train]

    first, same, other = orders(0), orders(0), orders(1)
    assert first == same != other
    assert first[:4] != first[4:]


def test_a_limited_validation_reads_the_same_sample_each_time() -> None:
    seen = fit(data(eval_batch_size=2), max_epochs=2, limit_val_batches=4).val
    rows = [(name, row) for batch in seen for name, part in batch.items() for row in part.examples]
    assert len(seen) == 8 and rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    assert {name for name, _ in rows} == {"several", "scores"}
    lengths = {len(SEVERAL[row]["words"]) for name, row in rows if name == "several"}
    assert len(lengths) > 2, "not the longest alone"


def test_training_labels_join_data_sets() -> None:
    made = data()
    fit(made, limit_train_batches=1, limit_val_batches=1)
    wanted = [row["score"] for row in SEVERAL] + [row["rating"] for row in SCORES]
    assert list(made.training_labels("score")) == wanted
    assert {tuple(label) for label in made.training_labels("topic")} == {("x", 7), ("y", 6), (None, 1)}


def test_a_data_set_without_a_split_is_left_out_beside_others(caplog: Any) -> None:
    datasets = {"several": several(train=SEVERAL, val=SEVERAL), "more": several(train=SEVERAL)}
    seen = fit(MultiTaskDataModule(datasets, batch_size=4)).val
    assert {name for batch in seen for name in batch} == {"several"}
    assert caplog.text.count("data set 'more' has no split 'val' and is left out there") == 1


# -- messages ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        (
            {"several": Memory({"tokens": "words"}, {"tpic": "topic"}, train=SEVERAL)},
            r"data\.datasets\.several\.labels: unknown task 'tpic'; did you mean 'topic'",
        ),
        ({"scores": scores()}, r"model\.tasks\.topic: no data set labels it; add it to a data set's `labels`"),
        ({"several": several(val=SEVERAL)}, r"data\.datasets\.several has no split 'train'; it has val"),
        ({"several": several(train=SEVERAL)}, r"data\.datasets\.several has no split 'val'; it has train"),
        ({"several": several(train=SEVERAL, val=[])}, r"data\.datasets\.several: split 'val' is empty"),
        ({"several": several(train=[], val=SEVERAL)}, r"data\.datasets\.several: split 'train' is empty"),
        (
            {
                "several": Memory(
                    {"tokens": "words"}, {"topic": "tpic", "tags": "tags", "score": "score"}, train=SEVERAL
                )
            },
            r"data\.datasets\.several\.labels\.topic: the data has no column 'tpic'; did you mean 'topic'",
        ),
    ],
    ids=["unknown-task", "unlabelled-task", "no-train", "no-val", "empty-val", "empty-train", "label-column"],
)
def test_bad_data_sets(datasets: dict[str, DataSource], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(data(datasets=datasets))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"datasets": {}}, r"data\.datasets is empty"),
        ({"batch_size": {"several": 2, "scroes": 2}}, r"data\.batch_size .* 'scroes'; did you mean 'scores'"),
        ({"batch_size": {"several": 2}}, r"data\.batch_size misses the data set 'scores'"),
        ({"batch_size": 0}, r"data\.batch_size must be at least 1, found 0"),
        ({"eval_batch_size": {"x": 2}}, r"data\.eval_batch_size names the unknown data set 'x'"),
        ({"eval_batch_size": 0}, r"data\.eval_batch_size must be at least 1, found 0"),
        ({"eval_batch_size": {}}, r"data\.eval_batch_size misses the data set 'several'"),
    ],
    ids=["no-data-set", "unknown", "missing", "zero", "eval-unknown", "eval-zero", "eval-empty"],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data(**arguments)


class Broken(Memory):
    def load(self) -> dict[str, Dataset]:
        raise UserError("no file x")


def test_source_errors_name_the_data_set() -> None:
    with pytest.raises(UserError, match=r"^data\.datasets\.bad: no file x$"):
        fit(data(datasets={"bad": Broken({"text": "text"}, {"score": "rating"})}), model("score"))


# -- prediction --------------------------------------------------------------------------------------------------------
SOURCES: dict[str, DataSource] = {"scores": scores(), "several": several()}


def test_predict_each_input_once(tmp_path: Path) -> None:
    made, net, path = data(), model(), tmp_path / "in.jsonl"
    fit(made, net)
    path.write_text("".join(json.dumps({"words": row["words"], "id": i}) + "\n" for i, row in enumerate(SEVERAL)))
    made.predict_source = read_inputs(str(path), made.datasets)
    runner = trainer()
    loader_rows: list[int] = []
    predictions = runner.predict(net, datamodule=made)
    assert runner.predict_dataloaders is not None
    for batch in runner.predict_dataloaders:
        assert set(batch) == {"input"} and batch["input"].targets == {}
        loader_rows += batch["input"].examples
    assert loader_rows == list(range(14))
    flat = [row for batch in predictions or [] for row in batch]
    assert [len(row["tags"]["labels"]) for row in flat] == [len(row["words"]) for row in SEVERAL]


def test_cut_inputs_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made, net, path = data(), model(), tmp_path / "in.jsonl"
    fit(made, net)
    path.write_text("".join(json.dumps({"words": ["w"] * count}) + "\n" for count in (3, 13, 14)))
    made.predict_source = read_inputs(str(path), made.datasets)
    caplog.clear()
    predictions = trainer().predict(net, datamodule=made)
    assert [len(row["tags"]["labels"]) for batch in predictions or [] for row in batch] == [
        3,
        10,
        10,
    ]  # the command adds null for the rest
    assert [record.getMessage() for record in caplog.records if "cut off" in record.getMessage()] == [
        "data set 'input', split 'predict': 2 of 3 examples are longer than the encoder's 12 tokens; 7 words are cut "
        f"off (`model.encoder.max_length`); the first: {path}, line 2"
    ]


def test_nothing_to_predict() -> None:
    made, net = data(), model()
    fit(made, net)
    with pytest.raises(UserError, match="nothing to predict: give `--input FILE`"):
        trainer().predict(net, datamodule=made)


@pytest.mark.parametrize(
    ("datasets", "name"),
    [(SOURCES, "tokens"), ({"scores": SOURCES["scores"]}, "text")],
    ids=["tokens", "text"],
)
def test_lines_of_text(tmp_path: Path, datasets: dict[str, DataSource], name: str) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes("one two\r\n\n  \nline\u2028separator\nlast".encode())
    source, table = read_inputs(str(path), datasets)
    assert source.inputs == {name: "text"}
    assert source.labels == {}
    assert table["text"][:] == ["one two", "", "  ", "line\u2028separator", "last"]
    assert source.where(table, "predict", 3) == f"{path}, line 4"


@pytest.mark.parametrize(("asked", "said"), [(None, 1), (["loud"], 0)], ids=["all", "asked"])
def test_a_column_that_data_sets_read_otherwise_is_told_of(
    asked: Any, said: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    datasets = {
        "sounds": Memory({"sound": "file"}, {"loud": "loud"}),
        "named": Memory({"sound": ["file"]}, {"long": "long"}),
        "pictures": Memory({"image": "file"}, {"red": "red", "round": "round"}),
        "others": Memory({"image": "picture"}, {"blue": "blue"}),
    }
    path = tmp_path / "in.csv"
    path.write_text("file\n1.wav\n")
    assert read_inputs(str(path), datasets, asked)[0].inputs == {"sound": "file"}
    told = (
        "is read as the input 'sound'; to read it as 'image', as data set 'pictures' does, ask for its tasks: --tasks "
    )
    assert [message.endswith(f"column 'file' {told}red,round") for message in caplog.messages] == [True] * said


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\n\nb\n"))
    assert read_inputs("-", SOURCES)[1]["text"][:] == ["a", "", "b"]
    with pytest.raises(UserError, match="standard input holds no text"):
        read_inputs("-", SOURCES)


@pytest.mark.parametrize(
    ("name", "content", "inputs"),
    [
        ("in.jsonl", '{"text": "a", "other": 1}\n', {"text": "text"}),
        ("in.csv", "text,more\na,b\n", {"text": "text"}),
        ("in.tsv.gz", "more\ttext\na\tb\n", {"text": "text"}),
        ("in.jsonl", '{"words": ["a", "b"]}\n', {"tokens": "words"}),
    ],
    ids=["jsonl", "csv", "tsv-gzipped", "second-data-set"],
)
def test_tables(tmp_path: Path, name: str, content: str, inputs: dict[str, str]) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    source, table = read_inputs(str(path), SOURCES)
    assert source.inputs == inputs
    assert len(table) == 1
    assert source.load()["predict"] is table


def test_a_table_is_read_with_all_its_columns_that_some_data_set_reads(tmp_path: Path) -> None:
    mappings = {
        "words": {"tokens": "words"},
        "other": {"text": "text"},
        "spans": {"tokens": "words", "spans": "spans"},
        "columns": {"text": ["text", "more"]},
    }
    sources = widest_first({name: Memory(inputs, {}) for name, inputs in mappings.items()})
    assert list(sources) == ["spans", "words", "other", "columns"]
    (tmp_path / "in.jsonl").write_text('{"words": ["a"], "text": "a", "spans": []}\n')
    (tmp_path / "words.jsonl").write_text('{"words": ["a"], "text": "a"}\n')
    assert read_inputs(str(tmp_path / "in.jsonl"), sources)[0].inputs == mappings["spans"]
    assert read_inputs(str(tmp_path / "words.jsonl"), sources)[0].inputs == mappings["words"]


def test_a_table_need_not_have_the_spans_that_a_task_finds(tmp_path: Path) -> None:
    source: dict[str, DataSource] = {"spans": Memory({"tokens": "words", "spans": "entities"}, {})}
    (tmp_path / "in.jsonl").write_text('{"words": ["a"]}\n')
    (tmp_path / "wrong.jsonl").write_text('{"entities": []}\n')
    assert read_inputs(str(tmp_path / "in.jsonl"), source)[0].inputs == {"tokens": "words"}
    with pytest.raises(UserError, match="has the columns entities; the model reads words"):
        read_inputs(str(tmp_path / "wrong.jsonl"), source)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, r"--input: no file .*none\.txt"),
        ("none.jsonl", None, r"--input: no file .*none\.jsonl"),
        ("empty.txt", b"", r"--input: .*empty\.txt holds no text"),
        ("empty.jsonl", b"", r"empty\.jsonl"),
        ("empty.csv", b"text\n", r"empty\.csv holds no examples"),
        ("wrong.csv", b"txt,other\na,b\n", r"wrong\.csv has the columns txt, other; the model reads text or words"),
    ],
    ids=["no-text", "no-table", "empty-text", "empty-jsonl", "empty-csv", "columns"],
)
def test_bad_inputs(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_inputs(str(tmp_path / name), SOURCES)


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("in.tsv", "text\na\n\n\nb\n\n\n", ["a", None, None, "b", None, None]),
        ("in.tsv", "\ntext\n\na\n", [None, "a"]),
        ("in.csv", 'text\na\n\n""\nb\n', ["a", None, "", "b"]),
        ("in.jsonl", '{"text": "a"}\n\n{"text"\n{"text": "b"}\n', ["a", None, None, "b"]),
    ],
)
def test_every_line_is_a_row(tmp_path: Path, name: str, content: str, texts: list[str | None]) -> None:
    (tmp_path / name).write_text(content)
    source, table = read_inputs(str(tmp_path / name), SOURCES)
    assert table["text"][:] == texts
    first = content.split("\n").index("text") + 2 if "sv" in name else 1
    numbers = [source.where(table, "predict", row).rpartition(" ")[2] for row in range(len(texts))]
    assert numbers == [str(first + row) for row in range(len(texts))]


def test_lines_for_a_model_of_images(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    with pytest.raises(UserError, match=r"in\.txt is read as lines of text, and the model reads image; name a table"):
        read_inputs(str(tmp_path / "in.txt"), {"images": Memory({"image": "image"}, {})})
