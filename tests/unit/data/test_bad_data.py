"""Data that is not as it should be gives an error or a counted warning: where, what, and how to fix it."""

import gzip
import json
import os
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset, Features, List, Value
from lightning.pytorch import Trainer
from pyarrow import parquet

from mtl_lightning.data import ColumnSplit, DataSource, FileSource, FractionSplit, MultiTaskDataModule, labels
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.findings import report
from mtl_lightning.data.labels import understood_labels
from mtl_lightning.data.leakage import warn_of_overlap
from mtl_lightning.data.readers import tables, text_tables
from mtl_lightning.data.readers.bad_rows import REMEDY, BadRow, visible, write_bad_rows
from mtl_lightning.data.sources.prediction import read_inputs
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.rows import lines
from mtl_lightning.tasks import (
    MultiLabelClassification,
    Regression,
    SequenceClassification,
    TokenClassification,
)
from mtl_lightning.tasks.base import Task
from mtl_lightning.training.module import MultiTaskModule

PROCESSOR = TextProcessor(character_tokenizer("ascii"), 16)
TASKS: dict[str, Callable[[], Task]] = {
    "topic": SequenceClassification,
    "score": Regression,
    "flags": MultiLabelClassification,
    "bio": lambda: TokenClassification(scheme="bio"),
}
GOOD = {"text": "good", "topic": "x", "score": 1.0, "words": ["a", "b"], "tags": ["B-p", "O"]}
OTHER = {"text": "other", "topic": "y", "score": 2.0, "words": ["c"], "tags": ["O"]}


def source(path: Path, task: str = "topic", **changes: Any) -> FileSource:
    inputs = {"tokens": "words"} if task == "bio" else {"text": "text"}
    column = {"bio": "tags"}.get(task, task)
    return FileSource(**{"files": {"train": str(path)}, "inputs": inputs, "labels": {task: column}, **changes})


def encode(data: DataSource, task: Task | None = None) -> tuple[Dataset, list[BadRow]]:
    """What a run makes of a training split: label names from its labels, then the encoded table."""
    (name,) = data.labels
    task = task or TASKS[name]()
    table = data.load()["train"]
    encoding = Encoding("mine", data, PROCESSOR, {name: task})
    if not task.adapted():
        task.adapt(understood_labels(encoding, table, "train", name))
    encoded = encoding(table, "train")
    return encoded, list(encoding.skipped(table, encoded, "train"))


def refuse(data: DataSource, task: Task | None = None) -> str:
    with pytest.raises(UserError) as raised:
        encode(data, task)
    return str(raised.value)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_lines(*rows: Mapping[str, Any] | str) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


# -- lines that are no examples ----------------------------------------------------------------------------------------
LINES = {
    "json-broken": ("jsonl", '{"text": "a", ', "not JSON: expecting property name enclosed in double quotes"),
    "json-list": ("jsonl", '["a", "x"]', "expected an object {…} with a value for each column, found ['a', 'x']"),
    "json-twice": ("jsonl", '{"text": "a", "text": "b", "topic": "x"}', "it gives 'text' twice"),
    "json-deep": ("jsonl", "[" * 200_000 + "]" * 200_000, "it is nested too deeply"),
    "json-number": ("jsonl", '{"n": -9223372036854775809}', "the number -9223372036854775809 has more than 64 bits"),
    "json-surrogate": ("jsonl", r'{"text": "\ud800"}', r"half of a surrogate pair is no character: '\ud800'"),
    "json-latin-1": (
        "jsonl",
        b'{"text": "\xe9"}',
        "byte 0xe9 at character 11 is not UTF-8; save the file as UTF-8, or name its",
    ),
    "json-nul": ("jsonl", '{"text": "a\0"}', "it holds a NUL character; is the file binary, or UTF-16"),
    "csv-more": ("csv", "a,x,z", "expected 2 values (text, topic), found 3"),
    "csv-fewer": ("csv", "a", "expected 2 values (text, topic), found 1"),
    "csv-quote": ("csv", '"a" b,x', "',' expected after '\"'"),
    "csv-latin-1": ("csv", b"\xe9,x", "byte 0xe9 at character 1 is not UTF-8; save the file as UTF-8"),
    "tsv-more": ("tsv", "a\tx\tz", "expected 2 values (text, topic), found 3"),
    "tsv-nul": ("tsv", "a\0\tx", "it holds a NUL character; is the file binary, or UTF-16"),
}
BEFORE = {"jsonl": json_lines(GOOD, "", OTHER), "csv": "text,topic\ngood,x\n\nother,y\n"}
BEFORE["tsv"] = BEFORE["csv"].replace(",", "\t")


@pytest.mark.parametrize("gz", ["", ".gz"], ids=["plain", "gzipped"])
@pytest.mark.parametrize(("ending", "line", "reason"), LINES.values(), ids=LINES)
def test_bad_line(tmp_path: Path, ending: str, line: str | bytes, reason: str, gz: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    before = BEFORE[ending].encode()
    content = before + raw + b"\r\n" + before.splitlines()[-1]
    path = write(tmp_path / f"a.{ending}{gz}", gzip.compress(content) if gz else content)
    number = before.count(b"\n") + 1
    message = refuse(source(path))
    assert message.startswith(f"{path}, line {number}: {reason}")
    assert message.endswith(f"; {REMEDY}")
    alone = write(tmp_path / f"alone.{ending}", before.splitlines()[0] + b"\n" + raw if "json" not in ending else raw)
    assert refuse(source(alone)).endswith(f"; {REMEDY}")
    assert refuse(source(alone, on_bad_row="skip")).endswith("; no row is good")
    encoded, skipped = encode(source(path, on_bad_row="skip"))
    assert encoded["row"][:].tolist() == [0, 1, 3]
    (bad,) = skipped
    assert bad.where == f"{path}, line {number}"
    assert bad.reason.startswith(reason)
    assert bad.row == raw.decode("utf-8", "surrogateescape") + "\r\n"


def test_message_about_a_line_in_full(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,topic\ngood,x\na,b,c\n")
    assert refuse(source(path)) == (
        f"{path}, line 3: expected 2 values (text, topic), found 3: 'a,b,c'; "
        "fix it, or leave such rows out with `on_bad_row: skip`"
    )


def test_lines_within_quotes_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,"topic"\n"a\nb\r\nc",x\n\n"d\ne",y\nf\n')
    assert f"{path}, line 8: expected 2 values (text, topic), found 1: 'f'" in refuse(source(path))


def test_quote_that_is_never_closed(tmp_path: Path) -> None:
    """It swallows the rest of the file, which must not go unsaid."""
    path = write(tmp_path / "a.csv", 'text,topic\ngood,x\nother,y\n"a,x\nb,y\nc,x\n')
    assert (
        f"{path}, line 4: a quote is not closed; if quotes mean nothing in this file, set `quotes: false`: '\"a,x"
        in refuse(source(path))
    )
    _, (bad,) = encode(source(path, on_bad_row="skip"))
    assert bad.row == '"a,x\nb,y\nc,x\n'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("c d O", "expected 2 columns (words, tags), found 3"),
        ("c", "expected 2 columns (words, tags), found 1"),
        (b"\xff O", "byte 0xff at character 1 is not UTF-8"),
        ("c\0 O", "it holds a NUL character"),
    ],
    ids=["more", "fewer", "not-utf-8", "nul"],
)
def test_bad_conll_line_costs_its_sentence(tmp_path: Path, line: str | bytes, reason: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    path = write(tmp_path / "a.conll", b"# id = 1\na B-p\n\n# id = 2\nb O\n" + raw + b"\nd O\n\ne O\n")
    assert refuse(source(path, "bio", columns=["words", "tags"])).startswith(f"{path}, line 6: {reason}")
    encoded, (bad,) = encode(source(path, "bio", columns=["words", "tags"], on_bad_row="skip"))
    assert encoded["row"][:].tolist() == [0, 2]
    assert bad.where == f"{path}, line 6" and bad.reason.startswith(reason)
    assert bad.row.startswith("# id = 2\nb O\n") and bad.row.endswith("\nd O\n")


# -- values that cannot be understood ----------------------------------------------------------------------------------
AMONG = "is not among the task's 2 labels, which come from `labels` or, without it, from the training split"
XY = SequenceClassification(labels=["x", "y"])
VALUES: dict[str, tuple[dict[str, Any], str, Task | None, str]] = {
    "unknown-label": ({"topic": "xx"}, "topic", XY, f"label 'xx' {AMONG}; did you mean 'x'?"),
    "list-for-a-label": ({"topic": ["x"]}, "topic", None, "expected the name of a label, found ['x']"),
    "object-for-a-label": ({"topic": {"x": 1}}, "topic", None, "expected the name of a label, found {'x': 1}"),
    "nan-target": ({"score": float("nan")}, "score", None, "expected a finite number, found nan"),
    "infinite-target": ({"score": float("inf")}, "score", None, "expected a finite number, found inf"),
    "text-target": ({"score": "much"}, "score", None, "expected a finite number, found 'much'"),
    "grouped-digits": ({"score": "1_000"}, "score", None, "expected a finite number, found '1_000'"),
    "number-for-labels": ({"flags": 3}, "flags", None, "expected a list of labels, or a text of them, found 3"),
    "list-in-labels": ({"flags": ["a", ["b"]]}, "flags", None, "expected the name of a label, found ['b']"),
    "not-bio": ({"tags": ["B-p", "X"]}, "bio", None, "word 2: tag 'X' is not BIO ('O', 'B-x' or 'I-x'); fix it, or"),
    "no-type": ({"tags": ["B-", "O"]}, "bio", None, "word 1: tag 'B-' is not BIO"),
    "text-for-tags": ({"tags": "O O"}, "bio", None, "expected a list of tags, one a word, found 'O O'"),
    "fewer-tags": ({"tags": ["O"]}, "bio", None, "1 tags for 2 words; there must be one a word"),
    "more-tags": ({"tags": ["O"] * 3}, "bio", None, "3 tags for 2 words; there must be one a word"),
}


@pytest.mark.parametrize(("change", "task", "made", "reason"), VALUES.values(), ids=VALUES)
def test_bad_label(tmp_path: Path, change: dict[str, Any], task: str, made: Task | None, reason: str) -> None:
    flags = {"flags": "a,b"}
    bad_row = {**GOOD, **flags, **change}
    path = write(tmp_path / "a.jsonl", json_lines({**GOOD, **flags}, "", bad_row, {**OTHER, "flags": "b"}))
    (column,) = change
    where = f"{path}, line 3, column '{column}' (task '{task}'): {reason}"
    message = refuse(source(path, task), made)
    assert where in message.replace(f"column '{column}': ", f"column '{column}' (task '{task}'): ")
    assert message.endswith(REMEDY)
    encoded, (bad,) = encode(source(path, task, on_bad_row="skip"), made)
    assert encoded["row"][:].tolist() == [0, 2]
    assert bad.where == f"{path}, line 3"
    assert bad.reason.startswith(f"column '{column}' (task '{task}'): {reason}")
    assert str(bad.row[column]) == str(change[column])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": None}, "input 'text': expected a text, found None"),
        ({"text": ""}, "input 'text': the text is empty: ''"),
        ({"text": " \t\n\u3000"}, r"input 'text': the text is empty: ' \t\n\u3000'"),
        ({"text": 5}, "input 'text': expected a text, found 5"),
        ({"text": {"a": 1}}, "input 'text': expected a text, found {'a': 1}"),
        ({"text": ["a"]}, "input 'text': expected a text, found ['a']"),
        ({"words": []}, "the list of words is empty"),
        ({"words": None}, "expected a text, found None"),
        ({"words": " "}, "the text is empty: ' '"),
        ({"words": ["a", ""]}, "word 2: the text is empty: ''"),
        ({"words": ["a", None]}, "word 2: expected a text, found None"),
        ({"words": [" ", "a"]}, "word 1: the text is empty: ' '"),
    ],
    ids=repr,
)
def test_bad_input(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    (column,) = change
    task = {"text": "topic", "words": "bio"}[column]
    path = write(tmp_path / "a.jsonl", json_lines(GOOD, OTHER, {**GOOD, **change}))
    message = refuse(source(path, task))
    assert message == f"data set 'mine', {path}, line 3, column '{column}': {reason}; {REMEDY}"
    encoded, (bad,) = encode(source(path, task, on_bad_row="skip"))
    assert encoded["row"][:].tolist() == [0, 1]
    assert (bad.where, bad.reason) == (f"{path}, line 3", f"column '{column}': {reason}")
    assert bad.row[column] == change[column]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a\ud800"]}, r"input 'text': half of a surrogate pair is no character: 'a\\ud800'"),
        ({"text": ["a"], "text_pair": [" "]}, "input 'text_pair': the text is empty: ' '"),
        ({"tokens": [["a", "\udfff"]]}, r"word 2: half of a surrogate pair is no character: '\\udfff'"),
        ({"text_pair": ["a"]}, "give `tokens` .*, `text` with or without `text_pair`, .*; found text_pair"),
        ({"tokens": [["a"]], "text": ["a"]}, "give `tokens` .*; found tokens, text"),
    ],
    ids=["surrogate", "pair", "word", "half-a-pair", "both"],
)
def test_bad_text_in_memory(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PROCESSOR.encode(columns)


@pytest.mark.parametrize(
    ("array", "ndim"),
    [([], 1), ([[]], 2), ([[1.0], [1.0, 2.0]], 2), ([1e39], 1), (["x"], 1), ({}, 0), ([[1.0]], 1)],
    ids=repr,
)
def test_bad_array_in_memory(array: Any, ndim: int) -> None:
    with pytest.raises(UserError, match="input 'v' must "):
        TensorProcessor("v", ndim).encode({"v": [array]})


def test_arrays_of_different_shapes_make_no_batch() -> None:
    with pytest.raises(UserError, match=r"input 'v' must have one shape for all examples, found \[1\] and \[2\]"):
        TensorProcessor("v", 1).collate([{"v": [1.0]}, {"v": [1.0, 2.0]}])


def test_conll_names_the_line_of_the_word(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "a B-p\n\n# id = 3\nb O\nc I-p\nd X\n\ne O\n")
    assert f"{path}, line 6, column 'tags': word 3: tag 'X' is not BIO" in refuse(
        source(path, "bio", columns=["words", "tags"])
    )
    _, (bad,) = encode(source(path, "bio", columns=["words", "tags"], on_bad_row="skip"))
    assert bad.where == f"{path}, line 6"
    assert bad.row == {"words": ["b", "c", "d"], "tags": ["O", "I-p", "X"], "id": "3"}


@pytest.mark.parametrize("row", [[1.0], [1.0, 2.0, 3.0], [1.0, float("inf")], [1.0, None], "ab", [[1.0], [2.0]], None])
def test_bad_vector(tmp_path: Path, row: Any) -> None:
    path = write(tmp_path / "a.jsonl", json_lines(*({"v": v, "y": 1} for v in ([1.0, 2.0], row, [3.0, 4.0]))))
    for policy in ("error", "skip"):
        data = FileSource({"train": str(path)}, {"features": "v"}, {"y": "y"}, on_bad_row=policy)  # type: ignore[arg-type]
        encoding = Encoding("mine", data, TensorProcessor("features", 1, 2), {"y": Regression(0.0, 1.0)})
        if policy == "error":
            with pytest.raises(UserError, match=r"a\.jsonl, line 2, column 'v': input 'features' must "):
                encoding(data.load()["train"], "train")
        else:
            assert encoding(data.load()["train"], "train")["row"][:].tolist() == [0, 2]


def test_shapes_that_disagree_are_an_error_for_they_cannot_be_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json_lines({"v": [1.0]}, {"v": [1.0, 2.0]}, {"v": [3.0]}))
    data = FileSource({"train": str(path)}, {"features": "v"}, {}, on_bad_row="skip")
    encoding = Encoding("mine", data, TensorProcessor("features", 1), {})
    with pytest.raises(UserError, match=r"line 2, and the row after it: .* found \[1\] beside \[2\]"):
        encoding(data.load()["train"], "train")


# -- files that cannot be read -----------------------------------------------------------------------------------------
def columns_of(name: str) -> dict[str, Any]:
    """What the files need whose columns have no names."""
    return {"columns": ["text", "topic"]} if ".conll" in name else {}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "{path} holds no examples"),
        ("a.jsonl", b"\n \n", "{path} holds no examples"),
        ("a.json", b"[]", "{path} holds no examples"),
        ("a.csv", b"", "{path} holds no examples"),
        ("a.csv", b"text,topic\n", "{path} holds no examples"),
        ("a.conll", b"# a comment\n\n", "{path} holds no examples"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "{path} holds no examples"),
        ("a.csv", b"text,text\na,b\n", "{path} names the column 'text' twice; rename one of them"),
        (
            "a.csv",
            b"\xff\xfet\0e",
            "{path}, line 1: the text is not utf-16: 'utf-16-le' codec can't decode byte 0x65",
        ),
        ("a.csv", b"text,__line__\na,1\n", "{path}: the column name '__line__' is reserved; rename that column"),
        (
            "a.jsonl",
            b'{"a\\u0000": 1}',
            "{path}: the column name 'a\\x00' holds a control character; rename that column",
        ),
        (
            "a.csv",
            b'text,"to\npic"\na,b\n',
            "{path}: the column name 'to\\npic' holds a control character; rename that ",
        ),
        ("a.jsonl", b'{"__bad_row__": 1}', "{path}: the column name '__bad_row__' is reserved"),
        ("a.jsonl", b'{"te', "{path}, line 1: not JSON: unterminated string starting at at character 2: '{{\"te'; "),
        ("a.json", b'[{"text": "a"},\n {]', "{path}, line 2: not JSON: expecting property"),
        (
            "a.json",
            b'[\n{"text": "a"}\n{"text": "b"}]',
            "{path}, line 3: expected ',' or ']', found '{{\"text\": \"b\"}}]'",
        ),
        ("a.json", b'[{"text": "a"}] 1', "{path}: something follows the array: '1'"),
        ("a.json", b'[{"text": "\xff"}]', "{path}: byte 0xff at character 12 is not UTF-8"),
        ("a.csv.gz", b"text\na\n", "cannot read {path}: Not a gzipped file (b'te')"),
        ("a.parquet", b"text,topic", "cannot read {path} as parquet: Parquet magic bytes not found in footer"),
        ("a.parquet", b"", "cannot read {path} as parquet: Parquet file size is 0 bytes"),
        ("a.parquet.gz", b"PAR1", "cannot read {path} as parquet: Not a gzipped file"),
    ],
)
@pytest.mark.parametrize("policy", ["error", "skip"])
def test_bad_file(tmp_path: Path, name: str, content: bytes, message: str, policy: Any) -> None:
    path = write(tmp_path / name, content)
    found = refuse(source(path, on_bad_row=policy, **columns_of(name)))
    assert found.startswith(message.format(path=path))
    assert "\n" not in found


@pytest.mark.parametrize("policy", ["error", "skip"])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "conll"])
def test_truncated_gzip_is_an_error_whatever_the_policy(tmp_path: Path, ending: str, policy: Any) -> None:
    rows = {"jsonl": '{"text": "t%d", "topic": "x"}', "csv": "t%d,x", "tsv": "t%d\tx", "conll": "t%d x\n"}[ending]
    head = {"csv": "text,topic\n", "tsv": "text\ttopic\n"}.get(ending, "")
    packed = gzip.compress((head + "".join(rows % (i * i) + "\n" for i in range(3000))).encode())
    path = write(tmp_path / f"a.{ending}.gz", packed[: len(packed) // 2])
    message = refuse(source(path, on_bad_row=policy, **columns_of(path.name)))
    assert message.startswith(f"cannot read {path} after line ")
    assert "; it is cut off or damaged, fetch it again: Compressed file ended" in message


def test_damaged_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    Dataset.from_list([{"text": f"text {i}", "topic": "x"} for i in range(500)]).to_parquet(str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refuse(source(path)).startswith(f"cannot read {path} as parquet: ")
    path.write_bytes(whole[:20] + bytes(200) + whole[220:])
    assert str(path) in refuse(source(path))


def test_a_parquet_column_of_a_type_that_is_not_read_is_named(tmp_path: Path) -> None:
    column = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    parquet.write_table(pa.table({"text": ["a"], "topic": ["x"], "counts": column}), tmp_path / "a.parquet")
    message = refuse(source(tmp_path / "a.parquet"))
    assert "column 'counts' is of type map<string, int64" in message and "; take it out, or write" in message


def test_parquet_with_bytes_that_are_no_text(tmp_path: Path) -> None:
    column = pa.array([b"a", b"\xff"]).cast("string", safe=False)
    parquet.write_table(pa.table({"text": column, "topic": ["x", "y"]}), tmp_path / "a.parquet")
    assert f"{tmp_path / 'a.parquet'}, rows 1 to 2: " in refuse(source(tmp_path / "a.parquet"))


def test_parquet_names_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    Dataset.from_list([{"text": "a", "topic": "x"}, {"text": "", "topic": "y"}]).to_parquet(str(path))
    assert refuse(source(path)) == (
        f"data set 'mine', {path}, row 2, column 'text': input 'text': the text is empty: ''; {REMEDY}"
    )


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("gone.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    assert refuse(source(tmp_path / "folder.csv")) == f"{tmp_path}/folder.csv is a folder; name a file"
    assert refuse(source(tmp_path / "link.csv")) == f"{tmp_path}/link.csv is a link to gone.csv, which is no file"
    assert refuse(source(tmp_path / "pipe.csv")) == f"{tmp_path}/pipe.csv is no regular file; name a file"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz", "a.parquet"])
def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Tests may run as root, whom no file refuses."""
    path = write(tmp_path / name, "x")

    def closed(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", closed)
    message = refuse(source(path))
    monkeypatch.undo()
    assert message.startswith(f"cannot read {path}") and "Permission denied" in message


# -- splits ------------------------------------------------------------------------------------------------------------
class Memory(DataSource):
    def __init__(self, labels: Mapping[str, str] | None = None, **splits: list[dict[str, Any]]) -> None:
        super().__init__({"text": "text"}, labels or {"topic": "topic"})
        self.splits = splits

    def load(self) -> dict[str, Dataset]:
        return {name: Dataset.from_list(rows) for name, rows in self.splits.items()}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("mtl_lightning")]


def test_overlap_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "train.jsonl", json_lines(GOOD, OTHER, {**GOOD, "text": "third"}))
    write(tmp_path / "val.jsonl", json_lines({**GOOD, "text": "new"}, GOOD, {**OTHER, "topic": "x"}, GOOD))
    write(tmp_path / "test.csv", "text,topic\nnewer,x\n")
    files = {"train": "train.jsonl", "val": "val.jsonl", "test": "test.csv"}
    data = FileSource(files, {"text": "text"}, {"topic": "topic"}, root=str(tmp_path))
    for _ in range(2):
        caplog.clear()
        warn_of_overlap("mine", data, data.load())
        assert warnings(caplog) == [
            "data set 'mine': 3 of the 4 examples of split 'val' are in split 'train' too; take them out of one of the "
            f"two; the first: {tmp_path / 'val.jsonl'}, line 2"
        ]


@pytest.mark.parametrize(
    ("train", "val", "overlapping"),
    [
        ({"t": ["ab", "c"]}, {"t": ["a", "bc"]}, False),
        ({"t": ["a", "b"]}, {"t": ["a", "b"]}, True),
        ({"t": None}, {"t": None}, False),
        ({"t": []}, {"t": []}, False),
        ({"t": "ab", "u": "c"}, {"t": "a", "u": "bc"}, False),
        ({"t": "ab", "u": "c"}, {"t": "ab", "u": "d"}, False),
        ({"t": "ab", "u": "c"}, {"t": "ab", "u": "c"}, True),
        ({"t": 1.0}, {"t": 1.0}, False),
    ],
    ids=["other-words", "words", "none", "no-words", "other-pair", "half-a-pair", "pair", "no-text"],
)
def test_overlap_compares_whole_inputs(
    train: dict[str, Any], val: dict[str, Any], overlapping: bool, caplog: pytest.LogCaptureFixture
) -> None:
    data = Memory()
    data.inputs = {name: name for name in train}
    tables = {name: Dataset.from_list([row]) for name, row in (("train", train), ("val", val))}
    if not train["t"]:
        text = Value("string")
        tables = {n: t.cast(Features({"t": text if train["t"] is None else List(text)})) for n, t in tables.items()}
    warn_of_overlap("mine", data, tables)
    assert bool(warnings(caplog)) == overlapping


def test_rows_in_no_split_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    parts = ["train", "val", "tran", None, "tran", "test"]
    table = Dataset.from_dict({"part": parts})
    splits = ColumnSplit("part", test=None).divide(table)
    assert {name: len(split) for name, split in splits.items()} == {"train": 1, "val": 1}
    assert warnings(caplog) == [
        "4 of 6 rows are in no split: column 'part' says 'tran' (2), None (1), 'test' (1); "
        "`rest: train` would take them in"
    ]


def test_numbers_may_name_splits() -> None:
    splits = ColumnSplit("part", train="0", val="1", test=None).divide(Dataset.from_dict({"part": [0, 1, 0]}))
    assert {name: len(split) for name, split in splits.items()} == {"train": 2, "val": 1}


def test_splits_of_one_value() -> None:
    with pytest.raises(UserError, match="must be different values"):
        ColumnSplit("part", train="a", val="a")


@pytest.mark.parametrize("split", [ColumnSplit("part", test=None), FractionSplit(0.4, 0.0)], ids=["column", "fraction"])
def test_bad_line_of_a_single_file_is_told_of_once(tmp_path: Path, split: Any) -> None:
    rows = [
        json.dumps({**GOOD, "text": f"t{i}", "topic": "xy"[i % 2], "part": ["train", "val"][i // 5]}) for i in range(10)
    ]
    rows[3] = rows[8] = "{"
    path = write(tmp_path / "a.jsonl", "\n".join(rows))
    data = FileSource(str(path), {"text": "text"}, {"topic": "topic"}, split=split, on_bad_row="skip")
    found = []
    for name, table in data.load().items():
        encoding = Encoding("mine", data, PROCESSOR, {"topic": XY})
        found += [bad.where for bad in encoding.skipped(table, encoding(table, name), name)]
    assert sorted(found) == [f"{path}, line 4", f"{path}, line 9"]


def test_all_rows_are_bad(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json_lines({**GOOD, "text": ""}, {**OTHER, "text": None}))
    assert refuse(source(path, on_bad_row="skip"), XY) == (
        f"data set 'mine': no row of split 'train' is good; {path}, line 1: column 'text': input 'text': "
        "the text is empty: ''; fix it"
    )
    write(path, "{\n[]\n")
    assert refuse(source(path, on_bad_row="skip"), XY) == (
        f"{path}, line 1: not JSON: expecting property name enclosed in double quotes at character 1: '{{'; "
        "no row is good"
    )


@pytest.mark.parametrize(
    "values",
    [[1, 2, None, 1], [True, None, True, False], [1.5, float("nan"), None, 0.0, -0.0, float("nan")], ["a", ""]],
)
def test_values_are_counted_by_arrow_as_by_python(values: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    column = pa.chunked_array([pa.array(values), pa.array(values[::-1])])
    counted = labels._counted(column, "sequence")
    monkeypatch.setattr(labels, "_OF_ARROW", ())
    assert repr(counted) == repr(labels._counted(column, "sequence"))


# -- what is accepted, and counted -------------------------------------------------------------------------------------
def findings(data: DataSource, tmp_path: Path, task: Task | None = None) -> None:
    (name,) = data.labels
    task = task or TASKS[name]()
    table = data.load()["train"]
    encoding = Encoding("mine", data, PROCESSOR, {name: task})
    if not task.adapted():
        task.adapt(understood_labels(encoding, table, "train", name))
    report(encoding, table, encoding(table, "train"), "train", str(tmp_path))


def test_cut_texts_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    texts = ["a" * 14, "a" * 15, "a b" * 20, "b"]
    path = write(
        tmp_path / "a.jsonl", json_lines(*({"text": text, "topic": "xy"[i % 2]} for i, text in enumerate(texts)))
    )
    for _ in range(2):  # also from the cache
        caplog.clear()
        findings(source(path), tmp_path)
        assert warnings(caplog) == [
            "data set 'mine', split 'train': 2 of 4 examples are longer than the encoder's 16 tokens; 27 tokens are "
            f"cut off (`model.encoder.max_length`); the first: {path}, line 2"
        ]


def test_cut_words_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"words": ["a"] * count, "tags": ["O", "B-p"] * (count // 2)} for count in (14, 16, 20)]
    path = write(tmp_path / "a.jsonl", json_lines(*rows))
    findings(source(path, "bio"), tmp_path)
    assert warnings(caplog) == [
        "data set 'mine', split 'train': 2 of 3 examples are longer than the encoder's 16 tokens; 8 words, with their "
        f"labels, are cut off (`model.encoder.max_length`); the first: {path}, line 2"
    ]


def test_cut_pairs_are_counted() -> None:
    encoded = PROCESSOR.encode({"text": ["a" * 10, "a" * 20, "a"], "text_pair": ["b" * 10, "b" * 3, "b"]})
    assert encoded["lost"] == [7, 10, 0]


def test_inside_tags_that_begin_a_span_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.conll", "a B-p\nb I-p\n\na O\nb I-p\nc I-q\nd I-q\n\na I-p\nb \tI-p\n\na B-q\n")
    findings(source(path, "bio", columns=["words", "tags"]), tmp_path)
    assert warnings(caplog) == [
        "data set 'mine', split 'train', task 'bio': 3 tags `I-x` follow no tag of type x; each starts a span, as in "
        f"conlleval; the first in {path}, line 4"
    ]


def test_a_missing_tag_breaks_no_span() -> None:
    task = TokenClassification("bio", labels=["O", "B-p", "I-p"], missing_tag="?")
    assert [
        task.count_irregular(task.encode(tags)) for tags in (["?", "I-p"], ["B-p", "?", "I-p"], ["I-p", "I-p"])
    ] == [
        0,
        0,
        1,
    ]


# -- values are what stands in the file --------------------------------------------------------------------------------
def rows_of(path: Path, **changes: Any) -> list[dict[str, Any]]:
    table = source(path, **changes).load()["train"]
    return table.select_columns(visible(table)).to_list()


COLUMNS: dict[str, list[Any]] = {
    "dates": ["2020-01-01", "2020-01-01T00:00:00", "12:30"],
    "numbers-as-texts": ["1", "1.0", "007"],
    "int-then-text": [1, "1", "x"],
    "text-then-int": ["null", 2, "[]"],
    "int-then-float": [1, 2.5, 3],
    "list-then-text": [["a"], "a", []],
    "bools": [True, False, None],
    "bool-then-int": [True, 1, 0],
    "ragged": [[], [1], [[2]]],
    "lists-of-lists": [[[1], []], [], [[], [2, None]]],
    "objects": [{"a": 1}, {}, {"b": [None, {"c": "d"}]}],
    "floats": [0.1, 1e300, -0.0],
    "nothing": [None, None, None],
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_json_values_are_not_reinterpreted(tmp_path: Path, column: list[Any]) -> None:
    path = write(tmp_path / "a.jsonl", json_lines(*({"v": value} for value in column)))
    assert repr([row["v"] for row in rows_of(path)]) == repr(column)


def test_numbers_beside_texts_are_exact(tmp_path: Path) -> None:
    """The library's own decoder of mixed columns rounds one in some hundred."""
    draw = random.Random(0)
    numbers = [draw.uniform(-1000, 1000) for _ in range(2000)]
    path = write(tmp_path / "a.jsonl", json_lines(*({"text": "a", "score": score} for score in ("", *numbers))))
    encoded, _ = encode(source(path, "score"), Regression(0.0, 1.0))
    assert encoded.with_format(None)["targets/score"][1:] == numbers


def test_a_number_and_the_same_text_are_one_label(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json_lines(*({"text": "a", "topic": t} for t in (1, "1", "a b", True, None))))
    task = SequenceClassification()
    encoded, _ = encode(source(path), task)
    assert task.labels == ["1", "True", "a b"]
    assert encoded["targets/topic"][:].tolist() == [0, 0, 2, 1, task.missing]


def test_keys_that_come_late(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json_lines(*[{"text": "a"}] * 1500, {"topic": "x", "text": "b"}))
    rows = rows_of(path)
    assert rows[0] == {"text": "a", "topic": None}
    assert rows[-1] == {"text": "b", "topic": "x"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["plain", "byte-order-mark"])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "conll"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, ending: str, end: str, bom: str) -> None:
    text = {"jsonl": json_lines(GOOD, OTHER), "csv": BEFORE["csv"], "tsv": BEFORE["tsv"], "conll": "a x\nb y\n\nc x\n"}
    path = write(tmp_path / f"a.{ending}", bom + text[ending].replace("\n", end))
    rows = rows_of(path, **columns_of(path.name))
    wanted = [["a", "b"], ["c"]] if ending == "conll" else ["good", "other"]
    assert [row["text"] for row in rows] == wanted


def test_every_line_has_keys_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_COLUMNS", 20)
    path = write(tmp_path / "a.jsonl", json_lines(*({f"key {i}": 1} for i in range(30))))
    assert refuse(source(path)) == f"{path}, line 21: more than 20 different columns; is this a table?"


def test_long_texts_are_written_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "_MOST_CHARACTERS", 100)
    path = write(tmp_path / "a.jsonl", json_lines(*({"text": "a" * 60, "topic": "x"} for _ in range(10))))
    table = source(path).load()["train"]
    assert [len(chunk) for chunk in table.data.column("text").chunks] == [2] * 5
    assert table["text"][:] == ["a" * 60] * 10


def test_long_values(tmp_path: Path) -> None:
    long = "word " * 100_000
    for ending, content in (("csv", f"text,topic\n{long},x\n"), ("jsonl", json_lines({"text": long}))):
        assert rows_of(write(tmp_path / f"a.{ending}", content))[0]["text"] == long


@pytest.mark.parametrize("indent", [None, 2], ids=["one-line", "indented"])
def test_json_array(tmp_path: Path, indent: int | None) -> None:
    path = write(tmp_path / "a.json", "\n" + json.dumps([GOOD, OTHER, {**GOOD, "text": ""}], indent=indent))
    assert rows_of(path)[:2] == [GOOD, OTHER]
    line = path.read_text().split('"text": ""')[0].count("\n") + (0 if indent else 1)
    assert f"{path}, line {line}, column 'text'" in refuse(source(path))
    write(path, json_lines(GOOD, OTHER))
    assert rows_of(path) == [GOOD, OTHER]


def test_array_of_other_things(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '[{"text": "a", "topic": "x"},\n3,\n{"text": "b", "topic": "y"}]')
    assert refuse(source(path)).startswith(
        f"{path}, line 2: expected an object {{…}} with a value for each column, found 3"
    )
    encoded, (bad,) = encode(source(path, on_bad_row="skip"))
    assert encoded["row"][:].tolist() == [0, 2]
    assert bad == (f"{path}, line 2", "expected an object {…} with a value for each column, found 3", "3")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# O\na B-p\n", [["#", "a"]]),
        ("# newdoc\na O\n", [["a"]]),
        ("a B-p\n\n# B-p\nb O\n", [["a"], ["#", "b"]]),
        ("# x\n#\ta\n", [["#"]]),
        ("a\u00a0b O\n\u3000 O\n", [["a\u00a0b", "\u3000"]]),
    ],
    ids=["outside", "comment", "as-elsewhere", "tab", "other-spaces"],
)
def test_conll_lone_hash_and_odd_spaces(tmp_path: Path, content: str, words: list[list[str]]) -> None:
    rows = rows_of(write(tmp_path / "a.conll", content), columns=["words", "tags"])
    assert [row["words"] for row in rows] == words


def test_columns_are_named_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`columns` names 'a' twice: a, a"):
        source(tmp_path / "a.conll", columns=["a", "a"])


# -- inputs to predict on ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "content", "reasons"),
    [
        ("a.jsonl", '{"text": "a"}\n{', {1: "not JSON: expecting property name enclosed in double"}),
        (
            "a.jsonl",
            '\n{"text": "a"}\n{"text": 5}',
            {0: "the line is empty", 2: "column 'text': input 'text': expected"},
        ),
        (
            "a.txt",
            "a\n\0\n",
            {1: "it holds a NUL character; is the file binary, or UTF-16 (`encoding: utf-16-le`)?: '\\x00'"},
        ),
        ("a.txt", b"a\n\xff", {1: "byte 0xff at character 1 is not UTF-8; save the file as UTF-8"}),
        ("a.txt", " \n\n", {0: "column 'text': input 'text': the text is empty: ' '", 1: "column 'text': input"}),
        (
            "a.csv",
            "text\n a \n ''\n\n \na,b\n",
            {
                2: "the line is empty",
                3: "column 'text': input 'text': the text is empty",
                4: "expected 1 values (text)",
            },
        ),
    ],
)
def test_bad_inputs_to_predict_on(tmp_path: Path, name: str, content: str | bytes, reasons: dict[int, str]) -> None:
    """They do not keep the others from being predicted on."""
    inputs, table = read_inputs(str(write(tmp_path / name, content)), {"mine": source(tmp_path / name)})
    encoding = Encoding("input", inputs, PROCESSOR, {})
    encoded = encoding(table, "predict", labelled=False)
    found = encoding.refused(table, encoded)
    accepted = encoded["row"][:].tolist() if len(encoded) else []
    assert sorted([*found, *accepted]) == list(range(len(table)))
    assert list(found) == list(reasons)
    for row, reason in reasons.items():
        assert found[row].startswith(reason)


def test_inputs_without_the_column_that_the_model_reads(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "texts\na\n")
    with pytest.raises(UserError, match="has the columns texts; the model reads text"):
        read_inputs(str(path), {"mine": source(path)})


# -- runs --------------------------------------------------------------------------------------------------------------
BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}
QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


def fit(folder: Path, data: DataSource, **tasks: Task) -> MultiTaskDataModule:
    encoder = TransformerEncoder(config={**BERT, "max_position_embeddings": 16}, tokenizer="characters:ascii")
    module = MultiTaskDataModule({"mine": data}, batch_size=2)
    trainer = Trainer(
        max_steps=1,
        accelerator="cpu",
        num_sanity_val_steps=0,
        limit_val_batches=1,
        default_root_dir=str(folder),
        **QUIET,
    )
    trainer.fit(MultiTaskModule(encoder, tasks or {"topic": SequenceClassification()}), datamodule=module)
    return module


def test_run_writes_what_it_skipped_also_from_the_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"text": f"t{i}", "topic": "xy"[i % 2]} for i in range(6)]
    train = write(tmp_path / "train.jsonl", json_lines(*rows[:3], "{", rows[3], {"text": " ", "topic": "x"}, rows[4]))
    val = write(tmp_path / "val.jsonl", json_lines({"text": "v", "topic": "z"}, {"text": "w", "topic": "x"}))
    files = {"train": str(train), "val": str(val)}
    for run in ("first", "second"):
        caplog.clear()
        data = FileSource(files, {"text": "text"}, {"topic": "topic"}, on_bad_row="skip")
        fit(tmp_path / run, data)
        paths = {split: tmp_path / run / "skipped_rows" / f"mine-{split}.jsonl" for split in files}
        assert sorted(warnings(caplog)) == [
            f"data set 'mine', split 'train': skipped 2 of 7 rows, which are bad; they and why are in {paths['train']}",
            f"data set 'mine', split 'val': skipped 1 of 2 rows, which are bad; they and why are in {paths['val']}",
        ]
        written = [json.loads(line) for line in paths["train"].read_text().splitlines()]
        assert [row["where"] for row in written] == [f"{train}, line 4", f"{train}, line 6"]
        assert [row["reason"].split(":")[0] for row in written] == ["not JSON", "column 'text'"]
        assert [row["row"] for row in written] == ["{\n", {"text": " ", "topic": "x"}]
        assert [json.loads(line)["row"]["topic"] for line in paths["val"].read_text().splitlines()] == ["z"]
        assert not list(paths["train"].parent.glob(".*"))
    with pytest.raises(UserError, match=r"train\.jsonl, line 4: not JSON"):
        fit(tmp_path / "third", FileSource(files, {"text": "text"}, {"topic": "topic"}))


def test_whatever_a_bad_row_holds_is_written(tmp_path: Path) -> None:
    held = ["\udcff", {"day": date(2020, 1, 1), "bytes": b"\xff", "number": float("nan"), "é": None}]
    path = write_bad_rows((BadRow("there", "so", row) for row in held), str(tmp_path), "a/b c", "train")
    assert path.parent == tmp_path / "skipped_rows" and path.name.startswith("a_b_c-")
    assert write_bad_rows([], str(tmp_path), "a b/c", "train") != path
    found = [json.loads(line)["row"] for line in path.read_text("utf-8").splitlines()]
    assert found[0] == "\udcff"
    assert repr(found[1]) == repr({"day": "2020-01-01", "bytes": "b'\\xff'", "number": float("nan"), "é": None})


def test_bad_line_is_skipped_though_the_encoder_takes_nothing_for_something(tmp_path: Path) -> None:
    class Lenient(TensorProcessor):
        def encode(self, columns: Mapping[str, Any]) -> dict[str, list[Any]]:
            return {"v": [value or [0.0] for value in columns["v"]]}

    path = write(tmp_path / "a.jsonl", '{"v": [1.0]}\n{\n')
    data = FileSource({"train": str(path)}, {"v": "v"}, {}, on_bad_row="skip")
    assert Encoding("mine", data, Lenient("v", 1), {})(data.load()["train"], "train")["row"][:].tolist() == [0]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_row_that_was_skipped_once_is_not_forgiven(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    rows = Dataset.from_list([GOOD, {**GOOD, "text": ""}, OTHER])
    _ = rows.to_json(str(path)) if ending == "jsonl" else rows.to_parquet(str(path))
    assert len(encode(source(path, on_bad_row="skip"))[0]) == 2
    assert " 2, column 'text'" in refuse(source(path))


def test_labels_of_bad_rows_are_not_learnt(tmp_path: Path) -> None:
    rows = [{"words": ["a"], "tags": tags} for tags in (["O"], ["B-p"], ["bad"], "O")]
    path = write(tmp_path / "a.jsonl", json_lines(*rows))
    task = TokenClassification(scheme="bio")
    encoded, skipped = encode(source(path, "bio", on_bad_row="skip"), task)
    assert task.labels == ["O", "B-p", "I-p"]
    assert encoded["row"][:].tolist() == [0, 1] and len(skipped) == 2


def test_other_processes_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", json_lines(GOOD, "{", OTHER, {**GOOD, "text": "b"}))
    data = FileSource({"train": str(path), "val": str(path)}, {"text": "text"}, {"topic": "topic"}, on_bad_row="skip")
    monkeypatch.setattr(Trainer, "is_global_zero", property(lambda self: False))
    fit(tmp_path / "run", data)
    assert not (tmp_path / "run" / "skipped_rows").exists()


@pytest.mark.parametrize(
    ("labels", "tasks", "message"),
    [
        (
            {"topic": "topic"},
            {"topic": XY, "score": Regression()},
            "model.tasks.score: no data set labels it; add it to a ",
        ),
        ({"topik": "topic"}, {"topic": XY}, "data.datasets.mine.labels: unknown task 'topik'; did you mean 'topic'?"),
        (
            {"topic": "topyc"},
            {"topic": SequenceClassification()},
            "data.datasets.mine.labels.topic: the data has no column 'topyc'; did",
        ),
    ],
    ids=["unlabelled", "unknown", "column"],
)
def test_tasks_and_data_sets_must_agree(tmp_path: Path, labels: dict[str, str], tasks: Any, message: str) -> None:
    rows = [GOOD, OTHER]
    with pytest.raises(UserError) as raised:
        fit(tmp_path, Memory(labels, train=rows, val=rows), **tasks)
    assert message in str(raised.value)


def test_a_task_that_no_training_example_labels_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tmp_path, Memory(train=[{**GOOD, "topic": None}, {**OTHER, "topic": ""}], val=[GOOD, OTHER]), topic=XY)
    (said,) = [line for line in caplog.messages if "learns nothing here" in line]
    assert said.startswith("data set 'mine', split 'train', task 'topic': no example has a label")
    assert "data.datasets.mine.labels" in said


def test_empty_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.datasets\.mine: split 'val' is empty"):
        fit(tmp_path, Memory(train=[GOOD, OTHER], val=[]))


def test_runs_that_start_at_once_share_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", "".join(f'{{"text": "text {i}"}}\n' for i in range(3000)))
    written = []

    def spy(*args: Any) -> None:
        written.append(args)
        write_table(*args)

    write_table = tables._write
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(tables, "_write", spy)
    with ThreadPoolExecutor(4) as runs:
        found = [run.result() for run in [runs.submit(rows_of, path) for _ in range(4)]]
    assert found == [[{"text": f"text {i}"} for i in range(3000)]] * 4
    assert len(written) == 1


def test_an_interrupted_read_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", json_lines(GOOD))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(text_tables, "_batch", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        source(path).load()
    files = [path for path in (tmp_path / "cache" / "mtl_lightning").rglob("*") if path.is_file()]
    assert {file.suffix for file in files} <= {".lock"}
    monkeypatch.undo()
    assert rows_of(path) == [GOOD]
