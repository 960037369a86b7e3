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
from mtl_lightning.data.bad_rows import visible
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.labels import understood_labels
from mtl_lightning.data.prediction import read_inputs
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import MultiLabelClassification, Regression, SequenceClassification, TokenClassification
from mtl_lightning.tasks.base import Task

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
"""Of each property. FUZZ_EXAMPLES=5000 searches for minutes, and elsewhere each time."""

FUZZ = settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=timedelta(seconds=10),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PROCESSOR = TextProcessor(character_tokenizer("ascii"), 16)

# -- what may come -----------------------------------------------------------------------------------------------------
TEXT = st.text(st.characters(codec=None), max_size=12)  # lone surrogates too
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.sampled_from(["", " ", "O", "B-x", "I-x", "a,b", "nan"])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3))
ODD = st.one_of(
    JSON, st.binary(max_size=4), st.just(Decimal("NaN")), st.just(date(2020, 1, 1)), st.complex_numbers(),
    st.builds(np.array, st.lists(st.floats(), max_size=3)), st.just(object()), st.builds(np.float32, st.floats(width=32)),
    st.tuples(SCALARS, SCALARS), st.sets(st.integers(), max_size=2),
)
NAMES = st.sampled_from(["text", "topic", "words", "tags", "", "__line__", "__bad_row__", "é"])
ROWS = st.lists(st.dictionaries(NAMES, JSON, max_size=4) | JSON, max_size=5)
PIECES = {
    "csv": ["text", "topic", ",", '"', "\n", "\r", "\r\n", " ", "a", "\ufeff", "\0", "é", "'", "\t"],
    "tsv": ["text", "topic", "\t", '"', "\n", "\r", "\r\n", "a", "\u2028", "\x0b"],
    "conll": ["#", "# ", " ", "\t", "O", "B-x", "I-x", "\n", "\r\n", "\n\n", "a", "=", "text", "\u3000", "\ufeff", "__line__"],
    "jsonl": ["{", "}", "[", "]", '"text"', ":", ",", '"a"', "1", "1e999", "NaN", "null", "\n", "\\ud800", '"', "-", "\ufeff"],
}
PIECES["json"] = PIECES["jsonl"]


def serialised(rows: list[Any], array: bool) -> bytes:
    return json.dumps(rows).encode() if array else b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@st.composite
def contents(draw: st.DrawFn, ending: str) -> bytes:
    """Arbitrary bytes, pieces of the format in any order, or good rows; then perhaps damaged."""
    made = draw(
        st.one_of(
            st.binary(max_size=60),
            st.lists(st.sampled_from(PIECES[ending]), max_size=40).map(lambda pieces: "".join(pieces).encode()),
            st.builds(serialised, ROWS, st.just(ending == "json")) if "json" in ending else st.nothing(),
            st.just({"csv": b'text,topic\na,"b\nc"\nd,e\n', "tsv": b"text\ttopic\na\tb\n", "conll": b"a O\nb B-x\n\nc O\n"}.get(ending, b'{"text": "a"}\n')),
        )
    )
    return damaged(draw, made)


def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content, or without a piece, or with another byte somewhere."""
    if not content or draw(st.booleans()):
        return content
    position = draw(st.integers(0, len(content) - 1))
    if draw(st.booleans()):
        return content[:position] + content[position + draw(st.integers(1, 20)) :]
    return content[:position] + draw(st.binary(max_size=3)) + content[position + 1 :]


# -- what must hold ----------------------------------------------------------------------------------------------------
def no_surprise(run: Callable[[], Any]) -> Any:
    """What ran, or None where it refused in one line."""
    try:
        return run()
    except UserError as error:
        assert "\n" not in str(error) and 0 < len(str(error)) < 2000
        return None


def read(path: Path, policy: Any) -> Any:
    """The rows of a file, encoded as far as they can be."""
    source = FileSource(
        {"train": str(path)}, {"text": "text"}, {"topic": "topic"}, columns=["text", "topic"], on_bad_row=policy
    )
    table = source.load()["train"]
    assert len(table) > 0 and len(table.select_columns(visible(table)).to_list()) == len(table)
    return no_surprise(lambda: encoded(source, table, SequenceClassification()))


def encoded(source: DataSource, table: Any, task: Task) -> int:
    encoding = Encoding("mine", source, PROCESSOR, {"topic": task})
    task.adapt(understood_labels(encoding, table, "train", "topic"))
    found = encoding(table, "train")
    skipped = list(encoding.skipped(table, found, "train"))
    assert len(found) + len(skipped) == len(table)
    assert source.on_bad_row == "skip" or not skipped
    return len(found)


@pytest.mark.parametrize("ending", PIECES)
def test_text_files(ending: str, tmp_path: Path) -> None:
    @FUZZ
    @given(contents(ending), st.sampled_from(["error", "skip"]), st.booleans())
    def check(content: bytes, policy: str, gz: bool) -> None:
        path = tmp_path / f"a.{ending}{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(content, mtime=0) if gz else content)
        no_surprise(lambda: read(path, policy))

    check()


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_damaged_gzip(ending: str, tmp_path: Path) -> None:
    whole = gzip.compress(PIECES["csv"][0].encode() + b",topic\n" + b"a,b\n" * 200, mtime=0)
    assert whole

    @FUZZ
    @given(st.data())
    def check(data: st.DataObject) -> None:
        path = tmp_path / f"a.{ending}.gz"
        path.write_bytes(damaged(data.draw, whole))
        no_surprise(lambda: read(path, "skip"))

    check()


COLUMNS = [
    pa.array(["a", None, ""]), pa.array([1, None, 3]), pa.array([[1.0], None, []]), pa.array([b"a", b"\xff", None]),
    pa.array([{"a": 1}, None, {"a": 2}]), pa.array([date(2020, 1, 1)] * 3), pa.array([Decimal("1.5")] * 3),
    pa.array([timedelta(1)] * 3), pa.array(["a", "b", "a"]).dictionary_encode(), pa.array([True, None, False]),
    pa.array([b"\xff", b"a", b"b"]).cast("string", safe=False), pa.nulls(3), pa.array([["O"], ["B-x"], None]),
    pa.array([math.nan, math.inf, 0.0], pa.float16()), pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
]  # fmt: skip


def test_parquet_files(tmp_path: Path) -> None:
    @FUZZ
    @given(st.sampled_from(COLUMNS), st.sampled_from(COLUMNS), st.data())
    def check(text: pa.Array, topic: pa.Array, data: st.DataObject) -> None:
        sink = io.BytesIO()
        parquet.write_table(pa.table({"text": text, "topic": topic}), sink, compression=data.draw(st.sampled_from(["none", "snappy"])))
        path = tmp_path / data.draw(st.sampled_from(["a.parquet", "a.parquet.gz"]))
        content = damaged(data.draw, sink.getvalue())
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
        no_surprise(lambda: read(path, data.draw(st.sampled_from(["error", "skip"]))))

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
        no_surprise(lambda: task.check(value))
        no_surprise(lambda: task.relabel(value, str.upper))
        understood = no_surprise(lambda: (task.check(value), True))
        if understood:
            no_surprise(lambda: type(task)().adapt([value]))

    check()


@FUZZ
@given(st.sampled_from(["text", "tokens", "both"]), st.lists(st.tuples(ODD, ODD), min_size=1, max_size=3))
def test_text_inputs(name: str, rows: list[tuple[Any, Any]]) -> None:
    first, second = zip(*rows, strict=True)
    columns = {"text": first, "text_pair": second} if name == "both" else {name: first}
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
        assert len(batch) == len(rows) and batch.isfinite().all()


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "txt.gz"])
def test_inputs_to_predict_on(ending: str, tmp_path: Path) -> None:
    source = FileSource({"train": "a"}, {"text": "text"}, {})

    def predict(path: Path) -> None:
        found, table = read_inputs(str(path), {"mine": source})
        no_surprise(lambda: Encoding("input", found, PROCESSOR, {})(table, "predict", labelled=False))

    @FUZZ
    @given(contents("csv" if ending == "csv" else "jsonl"))
    def check(content: bytes) -> None:
        path = tmp_path / f"a.{ending}"
        path.write_bytes(content)
        no_surprise(lambda: predict(path))

    check()
