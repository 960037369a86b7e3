"""Whatever stands in a file, or comes as a label or an input: a table or a UserError, and no hang."""

import gzip
import io
import json
import math
import os
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mtl_lightning.data import DataSource, FileSource
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.labels import understood_labels
from mtl_lightning.data.readers.bad_rows import visible
from mtl_lightning.data.sources.prediction import read_inputs
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import MultiLabelClassification, Regression, SequenceClassification, TokenClassification
from mtl_lightning.tasks.base import Task

FUZZ = settings(
    max_examples=int(
        os.environ.get("FUZZ_EXAMPLES", "25")
    ),  # 3000 search for a quarter of an hour, each time elsewhere
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
POLICIES = st.sampled_from(["error", "skip"])
PROCESSOR = TextProcessor(character_tokenizer("ascii"), 16)

# -- what may come -----------------------------------------------------------------------------------------------------
TEXT = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(["", " ", "O", "B-x", "I-x", "a,b", "nan"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT  # lone surrogates are among the texts
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3))
ODD = st.one_of(
    JSON,
    st.tuples(SCALARS, SCALARS),
    st.sets(st.integers(), max_size=2),
    st.binary(max_size=4),
    st.complex_numbers(),
    st.builds(np.array, st.lists(st.floats(), max_size=3)),
    st.builds(np.float32, st.floats(width=32)),
    st.sampled_from([Decimal("NaN"), Decimal("sNaN"), Decimal(1), date(2020, 1, 1), object()]),
)
NAMES = st.sampled_from(["text", "topic", "words", "tags", "", "__line__", "__bad_row__", "é"])
ROWS = st.lists(st.dictionaries(NAMES, JSON, max_size=4) | JSON, max_size=5)
ENDS = ["\n", "\r", "\r\n", "\n\n", "\ufeff", "\u2028", "\0", "a"]
JSON_PIECES = ["{", "}", "[", "]", '"text"', ":", ",", '"a"', "1", "1e999", "NaN", "null", r'"\ud800"', '"', "-", *ENDS]
PIECES = {
    "csv": ["text", "topic", ",", '"', " ", "'", "\t", *ENDS],
    "tsv": ["text", "topic", "\t", '"', "\x0b", *ENDS],
    "conll": ["#", "# ", " ", "\t", "O", "B-x", "I-x", "=", "text", "\u3000", "__line__", *ENDS],
    "jsonl": JSON_PIECES,
    "json": JSON_PIECES,
}
GOOD = {
    "csv": 'text,topic\na,"b\nc"\nd,e\n',
    "tsv": "text\ttopic\na\tb\nd\te\n",
    "conll": "# id = 1\na O\nb B-x\n\nc O\n",
    "jsonl": '{"text": "a", "topic": "b"}\n{"text": "d", "topic": "e"}\n',
    "json": '[{"text": "a", "topic": "b"},\n{"text": "d", "topic": "e"}]',
}


def serialised(rows: list[Any], ending: str) -> bytes:
    return (json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows))).encode()


@st.composite
def contents(draw: st.DrawFn, ending: str) -> bytes:
    """Arbitrary bytes, pieces of the format in any order, or rows of any kind; then perhaps damaged."""
    pieces = st.lists(st.sampled_from(PIECES[ending]), max_size=40)
    made = [st.binary(max_size=60), pieces.map(lambda found: "".join(found).encode()), st.just(GOOD[ending].encode())]
    if "json" in ending:
        made.append(st.builds(serialised, ROWS, st.just(ending)))
    return damaged(draw, draw(st.one_of(made)))


def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content, or without a piece, or with other bytes somewhere."""
    if not content or draw(st.booleans()):
        return content
    position = draw(st.integers(0, len(content) - 1))
    if draw(st.booleans()):
        return content[:position] + content[position + draw(st.integers(1, 20)) :]
    return content[:position] + draw(st.binary(max_size=3)) + content[position + 1 :]


# -- what must hold ----------------------------------------------------------------------------------------------------
def no_surprise(run: Callable[[], Any]) -> Any:
    """What ``run`` returns, or None where it refuses in one line."""
    try:
        return run()
    except UserError as error:
        message = str(error)
    assert "\n" not in message
    assert 0 < len(message) < 2000
    return None


def read(path: Path, policy: Any) -> int:
    """The number of rows of a file, encoded as far as they can be."""
    columns = ["text", "topic"] if ".conll" in path.name else None
    source = FileSource({"train": str(path)}, {"text": "text"}, {"topic": "topic"}, columns=columns, on_bad_row=policy)
    table = source.load()["train"]
    assert len(table.select_columns(visible(table)).to_list()) == len(table) > 0
    encode(source, table, SequenceClassification())
    return len(table)


def encode(source: DataSource, table: Any, task: Task) -> None:
    """Every row is either encoded, or skipped with a reason."""
    encoding = Encoding("mine", source, PROCESSOR, {"topic": task})
    task.adapt(understood_labels(encoding, table, "train", "topic"))
    found = encoding(table, "train")
    skipped = list(encoding.skipped(table, found, "train"))
    assert len(found) + len(skipped) == len(table)
    assert source.on_bad_row == "skip" or not skipped


@pytest.mark.parametrize("ending", PIECES)
def test_text_files(ending: str, tmp_path: Path) -> None:
    @FUZZ
    @given(contents(ending), POLICIES, st.booleans())
    def check(content: bytes, policy: str, gz: bool) -> None:
        path = tmp_path / f"a.{ending}{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(content, mtime=0) if gz else content)
        no_surprise(lambda: read(path, policy))

    check()


def test_good_files_are_read(tmp_path: Path) -> None:
    """Else the tests beside this one could pass on refusals alone."""
    for ending in ("csv", "tsv", "jsonl", "json"):
        (tmp_path / f"a.{ending}").write_text(GOOD[ending])
        assert read(tmp_path / f"a.{ending}", "error") == 2


def test_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"text,topic\n" + b"a,b\nc,d\n" * 200, mtime=0)

    @FUZZ
    @given(st.data())
    def check(data: st.DataObject) -> None:
        path = tmp_path / "a.csv.gz"
        path.write_bytes(content := damaged(data.draw, whole))
        rows = no_surprise(lambda: read(path, "skip"))
        assert content != whole or rows == 400

    check()


COLUMNS = [
    pa.array(["a", None, "b"]),
    pa.array([1, None, 3]),
    pa.array([math.nan, math.inf, 0.0], pa.float16()),
    pa.array([True, None, False]),
    pa.nulls(3),
    pa.array([b"a", b"\xff", None]),
    pa.array([b"\xff", b"a", b"b"]).cast("string", safe=False),
    pa.array(["a", "b", "a"]).dictionary_encode(),
    pa.array([["O"], ["B-x"], None]),
    pa.array([[1.0], None, []]),
    pa.array([{"a": 1}, None, {"a": 2}]),
    pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
    pa.array([date(2020, 1, 1)] * 3),
    pa.array([timedelta(1)] * 3),
    pa.array([Decimal("1.5")] * 3),
]


def test_parquet_files(tmp_path: Path) -> None:
    @FUZZ
    @given(st.sampled_from(COLUMNS), st.sampled_from(COLUMNS), st.sampled_from(["none", "snappy"]), POLICIES, st.data())
    def check(text: pa.Array, topic: pa.Array, compression: str, policy: str, data: st.DataObject) -> None:
        sink = io.BytesIO()
        parquet.write_table(pa.table({"text": text, "topic": topic}), sink, compression=compression)
        content = damaged(data.draw, sink.getvalue())
        path = tmp_path / data.draw(st.sampled_from(["a.parquet", "a.parquet.gz"]))
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
        no_surprise(lambda: read(path, policy))

    check()


TASKS: dict[str, Callable[[], Task]] = {
    "sequence": lambda: SequenceClassification(["a", "b"]),
    "several": lambda: MultiLabelClassification(["a", "b"]),
    "tags": lambda: TokenClassification("tags", ["O", "a"]),
    "bio": lambda: TokenClassification("bio", ["O", "B-x", "I-x"]),
    "number": lambda: Regression(0.0, 1.0),
}


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_labels(make: Callable[[], Task]) -> None:
    @FUZZ
    @given(ODD)
    def check(value: Any) -> None:
        task = make()
        no_surprise(lambda: task.count_irregular(task.encode(value)))
        no_surprise(lambda: task.relabel(value, str.upper))
        if no_surprise(lambda: [task.check(value)]):
            no_surprise(lambda: type(task)().adapt([value]))

    check()


@FUZZ
@given(st.sampled_from(["text", "tokens", "pair"]), st.lists(st.tuples(ODD, ODD), min_size=1, max_size=3))
def test_text_inputs(name: str, rows: list[tuple[Any, Any]]) -> None:
    first, second = zip(*rows, strict=True)
    columns = {"text": first, "text_pair": second} if name == "pair" else {name: first}
    found = no_surprise(lambda: PROCESSOR.encode(columns))
    if found is not None:
        examples = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
        assert len(PROCESSOR.collate(examples)["input_ids"]) == len(rows)


@FUZZ
@given(st.integers(1, 3), st.lists(ODD | st.lists(st.floats(width=32), min_size=1, max_size=3), min_size=1, max_size=3))
def test_numbers_as_inputs(ndim: int, rows: list[Any]) -> None:
    processor = TensorProcessor("image", ndim)
    found = no_surprise(lambda: processor.encode({"image": rows}))
    if found is not None:
        batch = processor.collate([{"image": array} for array in found["image"]])["image"]
        assert len(batch) == len(rows)
        assert batch.isfinite().all()


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "txt.gz"])
def test_inputs_to_predict_on(ending: str, tmp_path: Path) -> None:
    source = FileSource({"train": "a"}, {"text": "text"}, {})

    def predict(path: Path) -> None:
        found, table = read_inputs(str(path), {"mine": source})
        Encoding("input", found, PROCESSOR, {})(table, "predict", labelled=False)

    @FUZZ
    @given(contents("csv" if ending == "csv" else "jsonl"))
    def check(content: bytes) -> None:
        path = tmp_path / f"a.{ending}"
        path.write_bytes(content)
        no_surprise(lambda: predict(path))

    check()
