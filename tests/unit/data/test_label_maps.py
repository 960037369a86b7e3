"""A data set's labels mapped onto a task's label set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from mtl_lightning.data import DataSource, FileSource, HubSource, SnowNLPNews, SnowNLPReviews
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.labels import check_label_maps, understood_labels
from mtl_lightning.data.sources.label_maps import Renaming, read_label_map
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import MultiLabelClassification, Regression, SequenceClassification, TokenClassification
from mtl_lightning.tasks.base import IGNORE, Task

EKMAN = {"joy": ["joy", "relief"], "anger": ["anger", "annoyance"]}
PROCESSOR = TextProcessor(character_tokenizer("ascii"), 16)


class Memory(DataSource):
    def __init__(self, labels: list[Any], label_map: Any, on_bad_row: Any = "error", column: str = "label") -> None:
        super().__init__({"tokens": "words"}, {"task": column}, {"task": label_map}, on_bad_row)
        self.values = labels

    def load(self) -> dict[str, Dataset]:
        words = [["w"] * len(v) if isinstance(v, list) and v else ["w", "w"] for v in self.values]
        return {"train": Dataset.from_dict({"words": words, "label": self.values})}


def encode(source: DataSource, task: Task) -> list[Any]:
    """Targets of the training split, after the task has learnt its labels from it."""
    table = source.load()["train"]
    encoding = Encoding("mine", source, PROCESSOR, {"task": task})
    check_label_maps("mine", source, {"task": task})
    if not task.adapted():
        task.adapt(understood_labels(encoding, table, "train", "task"))
    found: list[Any] = encoding(table, "train").with_format(None)["targets/task"][:]
    return found


@pytest.mark.parametrize(
    ("task", "labels", "label_map", "names", "targets"),
    [
        (SequenceClassification(), ["relief", "anger", None, "joy"], EKMAN, ["anger", "joy"], [1, 0, -100, 1]),
        (SequenceClassification(), [1, 2, 3], {"a": ["1", "3"], "b": ["2"]}, ["a", "b"], [0, 1, 0]),
        (
            MultiLabelClassification(separator="|"),
            ["relief|joy", "annoyance | joy", "anger"],
            EKMAN,
            ["anger", "joy"],
            [[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]],
        ),
        (
            MultiLabelClassification(),
            [["relief", "joy"], [], ["anger", "annoyance"]],
            EKMAN,
            ["anger", "joy"],
            [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]],
        ),
        (
            TokenClassification("bio"),
            [["B-person", "I-person", "O"], ["B-firm", "B-misc"], None],
            {"PER": ["person"], "ORG": ["firm"], "O": ["misc"]},
            ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"],
            [[3, 4, 0], [1, 0], [-100, -100]],
        ),
        (
            TokenClassification(missing_tag="_"),
            [["NN", "NNS", "_"], ["VB", None]],
            {"noun": ["NN", "NNS"], "verb": ["VB"]},
            ["noun", "verb"],
            [[0, 0, -100], [1, -100]],
        ),
    ],
    ids=["single", "numbers", "text-of-labels", "list-of-labels", "bio", "tags"],
)
def test_labels_are_mapped(task: Any, labels: list[Any], label_map: Any, names: list[str], targets: list[Any]) -> None:
    assert encode(Memory(labels, label_map), task) == targets
    assert task.labels == names


def test_one_column_feeds_a_task_with_and_one_without_a_map(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,relief\nb,joy\nc,anger\n")
    labels = {"fine": "label", "coarse": "label"}
    source = FileSource({"train": "a.csv"}, {"text": "text"}, labels, root=str(tmp_path), label_maps={"coarse": EKMAN})
    tasks = {
        "fine": SequenceClassification(["anger", "joy", "relief"]),
        "coarse": SequenceClassification(["joy", "anger"]),
    }
    encoded = Encoding("mine", source, PROCESSOR, tasks)(source.load()["train"], "train")
    assert encoded["targets/fine"][:].tolist() == [2, 1, 0]
    assert encoded["targets/coarse"][:].tolist() == [0, 0, 1]


@pytest.mark.parametrize("name", ["map.json", "map.yaml"])
def test_map_in_a_file_beside_the_data(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(EKMAN))
    (tmp_path / "a.csv").write_text("words,label\na,relief\nc,anger\n")
    source = FileSource(
        {"train": "a.csv"}, {"tokens": "words"}, {"task": "label"}, root=str(tmp_path), label_maps={"task": name}
    )
    assert encode(source, SequenceClassification()) == [1, 0]
    (tmp_path / name).unlink()
    FileSource({"train": "a.csv"}, {"tokens": "words"}, {"task": "label"}, label_maps={"task": name})  # to predict


def test_numbers_in_the_file_of_a_map(tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text('{"a": [1, 3], "b": [2]}')
    assert encode(Memory([1, 2, 3], str(tmp_path / "map.json")), SequenceClassification()) == [0, 1, 0]


def test_the_cache_knows_the_map() -> None:
    task = SequenceClassification(["joy", "anger"])
    swapped = {"joy": ["anger", "annoyance"], "anger": ["joy", "relief"]}
    assert encode(Memory(["joy"], EKMAN), task) == [0]
    assert encode(Memory(["joy"], swapped), task) == [1]


# -- messages ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("task", "labels", "name", "where"),
    [
        (SequenceClassification(), ["joy", "anger", "reliev"], "reliev", "row 3, column 'label'"),
        (MultiLabelClassification(), ["joy,anger", "joy,reliev"], "reliev", "row 2, column 'label'"),
        (TokenClassification("bio"), [["B-joy", "O"], ["O", "B-reliev"]], "reliev", "row 2, column 'label': word 2"),
    ],
    ids=["single", "several", "bio"],
)
def test_label_that_no_entry_names(task: Task, labels: list[Any], name: str, where: str) -> None:
    with pytest.raises(UserError) as raised:
        encode(Memory(labels, EKMAN), task)
    assert str(raised.value) == (
        f"data set 'mine', split 'train', {where}: label '{name}' is in no entry of label_maps.task; did you mean "
        "'relief'?; fix it, or leave such rows out with `on_bad_row: skip`"
    )


def test_other_spellings_of_mapped_labels() -> None:
    label_map = {"j": ["joy", "relief"], "a": ["ANGER"]}
    assert encode(Memory(["relief ", "ANGER", "joy"], label_map), SequenceClassification()) == [1, 0, 1]
    assert encode(Memory([1.0, 2.0], {"a": [1], "b": [2]}), SequenceClassification()) == [0, 1]


def test_label_that_may_mean_none_names_the_setting() -> None:
    with pytest.raises(UserError, match=r"label 'NA' is in no .*; if it means 'no label', set `missing: \['NA'\]`"):
        encode(Memory(["joy", "anger", "NA"], EKMAN), SequenceClassification())
    assert encode(Memory(["joy", "anger", "NA"], EKMAN), SequenceClassification(missing="NA")) == [1, 0, IGNORE]


def test_label_that_no_entry_names_is_skipped() -> None:
    assert encode(Memory(["joy", "anger", "reliev"], EKMAN, "skip"), SequenceClassification()) == [1, 0]


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({}, "label_maps.task must name for each label of the task the data set's labels"),
        (["a"], "label_maps.task must name for each label of the task the data set's labels"),
        ({"joy": "relief"}, "label_maps.task.joy must be a list of the data set's labels, found 'relief'"),
        ({"a": ["x"], "b": ["x"]}, "label_maps.task names 'x' under both 'a' and 'b'; choose one"),
    ],
    ids=["empty", "list", "text", "twice"],
)
def test_bad_map(tmp_path: Path, label_map: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Memory([], label_map)
    (tmp_path / "map.json").write_text(json.dumps(label_map))
    with pytest.raises(UserError, match=message):
        Memory([], str(tmp_path / "map.json")).renaming("task")


@pytest.mark.parametrize(("name", "content"), [("a.json", b"{"), ("a.yaml", b"a: [b"), ("a.json", b"\xff")])
def test_bad_map_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"^label_maps\.task: cannot read .*{name}: ") as raised:
        Memory([], str(tmp_path / name)).renaming("task")
    assert "\n" not in str(raised.value)


def test_no_map_file(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").touch()
    source = Memory([], str(tmp_path / "gone.yml"))
    with pytest.raises(UserError) as raised:
        check_label_maps("mine", source, {"task": SequenceClassification()})
    where = "data.datasets.mine.label_maps.task"
    assert str(raised.value) == f"{where}: no file {tmp_path / 'gone.yml'}; did you mean 'gone.yaml'?"


def test_map_of_a_task_that_has_no_labels_here() -> None:
    with pytest.raises(UserError, match="names the task 'intend', which `labels` does not; did you mean 'intent'"):
        FileSource({"train": "a"}, {"text": "t"}, {"intent": "i"}, label_maps={"intend": {"a": ["b"]}})


@pytest.mark.parametrize(
    ("task", "label_map", "message"),
    [
        (SequenceClassification(["joy", "fear"]), EKMAN, "label 'anger' is not among the task's 2 labels"),
        (
            TokenClassification("bio", ["O", "B-joy", "I-joy"]),
            EKMAN,
            "label 'B-anger' is not among the task's 3 labels",
        ),
        (Regression(), EKMAN, "Regression has no label names to map; take the task out of `label_maps`"),
    ],
    ids=["labels", "bio", "regression"],
)
def test_map_onto_what_the_task_has_not(task: Task, label_map: Any, message: str) -> None:
    with pytest.raises(UserError) as raised:
        check_label_maps("mine", Memory([], label_map), {"task": task})
    assert str(raised.value).startswith(f"data.datasets.mine.label_maps.task: {message}")


def test_a_label_of_the_task_may_be_in_no_row() -> None:
    task = SequenceClassification()
    encode(Memory(["joy", "fury"], {"joy": ["joy"], "anger": ["fury"], "fear": ["fear"]}), task)
    assert task.labels == ["anger", "joy"]


SOURCES: Mapping[str, Any] = {
    "files": lambda **changes: FileSource({"train": "a"}, {"text": "t"}, {"x": "c"}, **changes),
    "hub": lambda **changes: HubSource("a", {"text": "t"}, {"x": "c"}, **changes),
    "reviews": lambda **changes: SnowNLPReviews({"text": "t"}, {"x": "c"}, **changes),
    "news": lambda **changes: SnowNLPNews({"text": "t"}, {"x": "c"}, **changes),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_every_source_takes_maps_and_policy(make: Any) -> None:
    source = make(label_maps={"x": {"a": ["b"]}}, on_bad_row="skip")
    assert source.renaming("x")("b") == "a"
    assert source.on_bad_row == "skip"
    assert make().renaming("x") is None
    with pytest.raises(UserError, match="`on_bad_row` must be `error` or `skip`, found 'ignore'"):
        make(on_bad_row="ignore")


def test_renaming_travels_to_workers() -> None:
    import pickle

    assert pickle.loads(pickle.dumps(Renaming(EKMAN, "here")))("relief") == "joy"


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.getcwd []\n", "a: &b [*b]\n", f"a: {'[' * 200}{']' * 200}\n"]
)
def test_label_files_hold_plain_values_in_bounds(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(UserError, match="labels: cannot read"):
        read_label_map(tmp_path / "map.yaml", "labels")
