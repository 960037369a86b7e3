"""What a data set may say of its files: delimiter, encoding, header, keys, dotted names, several columns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, IterableDataset, Value

from mtl_lightning.data import ColumnSplit, FileSource, FoldSplit, FractionSplit, HubSource, Streaming
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.readers.bad_rows import visible
from mtl_lightning.data.readers.nested import add_nested, with_nested
from mtl_lightning.data.sources import hub
from mtl_lightning.data.sources.prediction import read_inputs
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.perceptron import PerceptronEncoder
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.numbers import numbers
from mtl_lightning.tasks import Regression, SequenceClassification

ROWS = [{"text": "été; 7", "topic": "x"}, {"text": "two", "topic": "y"}]
FEATURES = TensorProcessor("features", 1, 3, "in_features")


def source(path: Path, content: str | bytes, **options: Any) -> FileSource:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    given = {"inputs": {"text": "text"}, "labels": {"topic": "topic"}, **options}
    return FileSource({"train": str(path)}, **given)


def rows(data: FileSource) -> list[dict[str, Any]]:
    table = data.load()["train"]
    return table.select_columns(visible(table)).to_list()


def encode(data: Any, processor: Any = FEATURES) -> Dataset:
    task = SequenceClassification(labels=["x", "y"])
    return Encoding("mine", data, processor, {"topic": task})(data.load()["train"], "train")


def refuse(data: Any, processor: Any = FEATURES) -> str:
    with pytest.raises(UserError) as raised:
        encode(data, processor)
    return str(raised.value)


# -- delimited text ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", 'text;topic\n"été; 7";x\ntwo;y\n', {"delimiter": ";"}),
        ("a.csv", "text|topic\nété; 7|x\ntwo|y\n", {"delimiter": "pipe", "quotes": False}),
        ("a.csv", "text\ttopic\nété; 7\tx\ntwo\ty\n", {"delimiter": "\\t"}),
        ("a.tsv", 'text\ttopic\n"été; 7"\tx\ntwo\ty\n', {"quotes": True}),
        ("a.csv", "été; 7,x\ntwo,y\n", {"header": False, "columns": ["text", "topic"]}),
        ("a.csv", "text,topic\nété; 7,x\ntwo,y\n".encode("latin-1"), {"encoding": "latin-1"}),
        ("a.csv", "text,topic\nété; 7,x\ntwo,y\n".encode("utf-16"), {}),
        ("a.tsv", "text\ttopic\nété; 7\tx\ntwo\ty\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("a.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode("utf-32"), {}),
        ("a.json", json.dumps({"v": {"data": ROWS}, "n": [1]}, indent=1), {"field": "v.data"}),
        ("a.json", json.dumps({"v.data": ROWS}), {"field": "v.data"}),
        ("a.csv", "\ufefftext,topic\nété; 7,x\ntwo,y\n", {"encoding": "utf-8"}),
        ("a.data", "été; 7,x\ntwo,y\n", {"format": "csv", "header": False, "columns": ["text", "topic"]}),
        ("a.ndjson", "".join(json.dumps(row) + "\n" for row in ROWS), {}),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("a.") else "",
)
def test_rows_come_back_as_they_stand(tmp_path: Path, name: str, content: Any, options: dict[str, Any]) -> None:
    assert rows(source(tmp_path / name, content, **options)) == ROWS


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.csv", {"delimiter": ""}, "`delimiter` must be one character, or `tab`; found nothing"),
        ("a.csv", {"delimiter": "||"}, "`delimiter` must be one character, or `tab`; found '||'"),
        ("a.csv", {"encoding": "latin-11"}, "`encoding` is the unknown 'latin-11'; did you mean 'latin-1'?"),
        ("a.csv", {"encoding": "base64"}, "`encoding` is the unknown 'base64'"),
        ("a.csv", {"header": False}, "`header` is false, so `columns` must name the columns"),
        ("a.csv", {"columns": ["a"]}, "`columns` names the columns of files without a header row: set `header: false`"),
        ("a.jsonl", {"delimiter": ";"}, "`delimiter` is for CSV, TSV; the files are JSON Lines: leave it out"),
        (
            "a.parquet",
            {"encoding": "latin-1"},
            "`encoding` is for CSV, CoNLL, CoNLL-U, JSON, JSON Lines, TSV; the files are ",
        ),
        ("a.csv", {"field": "data"}, "`field` is for JSON, JSON Lines; the files are CSV: leave it out"),
        (
            "a.jsonl",
            {"header": False, "columns": ["a"]},
            "`columns` is for CSV, CoNLL, CoNLL-U, TSV; the files are JSON Lines",
        ),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        source(tmp_path / name, "", **options)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text;topic\na;x\n",
            "no column 'text'; the header row is one name, 'text;topic': set `delimiter: ';'`",
        ),
        ("a.csv", "text;topic\na, b;x\n", "found 2; the header row is one name, 'text;topic': set `delimiter: ';'`"),
        ("a.csv", "text\ttopic\na\tx\n", "the header row is one name, 'text\\ttopic': set `delimiter: tab`"),
        ("a.csv", "good,x\nother,y\n", "set `header: false` and `columns: [NAME, …]`"),
        ("a.csv", b"text,topic\n\xe9,x\n", "is not UTF-8; save the file as UTF-8, or name its encoding"),
        (
            "a.csv",
            'text,topic\nan "open,x\n"quote,x\n',
            "a quote is not closed; if quotes mean nothing in this file, set",
        ),
        (
            "a.json",
            json.dumps({"v": 1, "data": ROWS}, indent=1),
            "is one object, with v, data; if its records stand under a",
        ),
        ("a.jsonl", json.dumps({"v": 1, "data": ROWS}, indent=1), "key, name it: `field: data`"),
        (
            "a.json",
            json.dumps({"data": ROWS}),
            "no column 'text'; the records seem to stand under 'data': set `field: data`",
        ),
        ("a.json", "".join(json.dumps(row, indent=1) for row in ROWS), "breaks its objects into lines"),
        ("a.jsonl", json.dumps({"doc": ROWS[0]}), "no column 'text'; did you mean 'doc.text'?"),
    ],
)
def test_messages_say_how_to_mend_it(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    found = refuse(source(tmp_path / name, content), TensorProcessor("text", 1))
    assert message in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "text,tpic\na,x\n"), ("a.csv", "txt;tpic\na;x\n"), ("a.jsonl", json.dumps({"txt": "a", "tpic": "x"}))],
    ids=["some-columns-are-there", "another-delimiter", "no-header-in-this-format"],
)
def test_a_missing_header_is_named_only_where_it_may_be_missing(tmp_path: Path, name: str, content: str) -> None:
    assert "header: false" not in refuse(source(tmp_path / name, content), TensorProcessor("text", 1))


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        ('{"data": []}', "dta", "has no key 'dta' for `field`; did you mean 'data'?"),
        ('{"data": 3}', "data", "`field: data` must name an array of objects, found 3"),
        ("[1]", "data", "has no key 'data' for `field`; there is no object with keys"),
        ('{"data": [{"a": 1},\nx]}', "data", "line 2: not JSON"),
        ('{"data": [{"a": 1}, 7]}', "data", "line 1: expected an object {…} with a value for each column, found 7"),
        ("{" * 9, "data", "line 1: not JSON"),
        (
            '{"data": []}\n{"data": []}',
            "data",
            "line 2: `field: data` is a key of a file that is one object",
        ),
    ],
)
def test_fields_that_hold_no_records(tmp_path: Path, content: str, field: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        source(tmp_path / "a.json", content, field=field).load()
    assert message in str(raised.value)


def test_records_under_a_key_know_their_lines(tmp_path: Path) -> None:
    data = source(tmp_path / "a.json", json.dumps({"data": ROWS}, indent=1), field="data")
    assert data.load()["train"]["__line__"][:] == [3, 7]


# -- values inside objects ---------------------------------------------------------------------------------------------
NESTED = [
    {"id": 1, "ann": {"topic": "x", "all": [{"t": "a"}, {"t": "b"}]}},
    {"id": 2, "ann": {"topic": "y", "all": []}},
    {"id": 3, "ann": None},
]
WANTED = [("x", "a", ["a", "b"]), ("y", None, []), (None, None, None)]
NAMES = ("ann.topic", "ann.all.0.t", "ann.all.t", "ann.none", "no.thing")


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "stream"])
def test_dotted_names_become_columns(tmp_path: Path, ending: str) -> None:
    if ending == "jsonl":
        path = tmp_path / "a.jsonl"
        content = "".join(json.dumps(row) + "\n" for row in NESTED)
        data = source(path, content, inputs={"text": "ann.all.t"}, labels=dict(zip("abcd", NAMES, strict=False)))
        found = rows(data)
    elif ending == "parquet":
        found = with_nested(Dataset.from_list(NESTED), NAMES).to_list()
    else:
        found = list(with_nested(Dataset.from_list(NESTED).to_iterable_dataset(), NAMES))
    assert [tuple(row.get(name) for name in NAMES[:3]) for row in found] == WANTED
    assert not {"ann.none", "no.thing"} & set(found[0])


def test_a_column_with_a_dot_comes_first(tmp_path: Path) -> None:
    data = source(tmp_path / "a.jsonl", '{"a.b": "whole", "a": {"b": "part"}}\n', inputs={"text": "a.b"})
    assert rows(data)[0]["a.b"] == "whole"


def test_no_object_where_one_is_expected(tmp_path: Path) -> None:
    content = '{"doc": {"text": "a"}, "topic": "x"}\n{"doc": "plain", "topic": "x"}\n'
    data = source(tmp_path / "a.jsonl", content, inputs={"text": "doc.text"})
    assert "line 2: column 'doc.text': expected an object with 'text', found 'plain'" in refuse(
        data, TensorProcessor("text", 1)
    )
    assert add_nested({"a": {}}, ["a.b"]) == {"a": {}}


def test_dotted_labels_of_the_hub_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    features = Features({"t": Value("string"), "ann": {"topic": ClassLabel(names=["x", "y"])}})
    table = Dataset.from_list([{"t": "a", "ann": {"topic": 1}}] * 6, features=features)
    monkeypatch.setattr(hub, "load_dataset", lambda *args, **options: table)
    data = HubSource("a/b", {"text": "t"}, {"topic": "ann.topic"}, splits={"train": "all"}, split=FoldSplit(3))
    assert {name: split["ann.topic"][:] for name, split in data.load().items()} == {
        name: ["y", "y"] for name in ("train", "val", "test")
    }
    with pytest.raises(UserError, match="`split` divides a single split"):
        HubSource("a/b", {"text": "t"}, {}, split=FoldSplit(3))


def test_a_split_may_read_dotted_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "a", "meta": {"year": year}}) + "\n" for year in (2019, 2020, 2021)))
    split = ColumnSplit("meta.year", val=2020, test=2021, rest="train")
    found = FileSource(str(path), {"text": "text"}, {}, split=split).load()
    assert {name: len(table) for name, table in found.items()} == {"train": 1, "val": 1, "test": 1}


# -- several columns ---------------------------------------------------------------------------------------------------
COLUMNS = {"inputs": {"features": ["a", "b", "c"]}}


def test_columns_of_numbers_become_a_vector(tmp_path: Path) -> None:
    data = source(tmp_path / "a.csv", "a,b,c,topic\n1,-2.5,1e3,x\ntrue,False, 7 ,y\n", **COLUMNS)
    assert np.array(encode(data)["inputs/features"]).tolist() == [[1, -2.5, 1000], [1, 0, 7]]


def test_lists_and_numbers_stand_one_after_another(tmp_path: Path) -> None:
    content = '{"a": [1, 2], "b": 3, "topic": "x"}\n'
    data = source(tmp_path / "a.jsonl", content, inputs={"features": ["a", "b"]})
    assert encode(data)["inputs/features"][0].tolist() == [1, 2, 3]


def test_a_column_of_numbers_is_a_vector_of_one(tmp_path: Path) -> None:
    data = source(tmp_path / "a.csv", "a,topic\n0.5,x\n", inputs={"features": "a"})
    assert encode(data, PerceptronEncoder(1).processor)["inputs/features"][0].tolist() == [0.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,c,topic\n1,,3,x\n", "line 2, column 'b': input 'features' must be numbers, found none: ''"),
        (
            "a,b,c,topic\n1,red,3,x\n",
            "column 'b': input 'features' must be numbers in lists of one length, found 'red'",
        ),
        ("a,b,c,topic\n1,2,nan,x\n", "column 'c': input 'features' must be finite numbers, found nan"),
        ('a,b,c,topic\n1,"2,5",3,x\n', "found '2,5'; write a point instead of the comma"),
        ("a,b,c,topic\n1,2_5,3,x\n", "column 'b': input 'features' must be numbers"),
        (
            "a,b,topic\n1,2,x\n",
            "data.datasets.mine.inputs.features: the data has no column 'c'; choose from a, b, topic",
        ),
        (
            "a,b,c,topic\n1,[1 2],3,x\n",
            "columns 'a', 'b', 'c': `in_features` is 3, but input 'features' has 4 numbers in ",
        ),
    ],
)
def test_what_is_no_number(tmp_path: Path, content: str, message: str) -> None:
    assert message in refuse(source(tmp_path / "a.csv", content, **COLUMNS))


def test_files_may_be_paths_of_pathlib(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,topic\n" + "one,x\n" * 4)
    given: Any = {"inputs": {"text": "text"}, "labels": {}}
    single: Any = tmp_path / "a.csv"
    assert sum(map(len, FileSource(single, **given, split=FractionSplit(0.5)).load().values())) == 4
    several: Any = {"train": Path("a.csv")}
    root: Any = tmp_path
    assert len(FileSource(several, **given, root=root).load()["train"]) == 4


def test_a_decimal_comma_is_read_where_the_file_has_one(tmp_path: Path) -> None:
    content = "a;b;c;topic\n1.234,5;-0,5;+7;x\n12;1,25;1.000;y\n"
    data = source(tmp_path / "a.csv", content, **COLUMNS, delimiter=";", decimal=",")
    assert np.array(encode(data)["inputs/features"]).tolist() == [[1234.5, -0.5, 7], [12, 1.25, 1000]]
    (tmp_path / "new.csv").write_text("a;b;c\n0,5;1;2\n")
    predicted, table = read_inputs(str(tmp_path / "new.csv"), {"mine": data})
    assert encode_inputs(predicted, table) == [[0.5, 1, 2]]


def encode_inputs(data: Any, table: Dataset) -> list[list[float]]:
    encoded = Encoding("input", data, FEATURES, {})(table, "predict", labelled=False)
    return np.array(encoded["inputs/features"]).tolist()  # type: ignore[no-any-return]


def test_a_target_with_a_decimal_comma_says_how_to_read_it() -> None:
    with pytest.raises(UserError, match="found '180,6'; write a point instead of the comma, or set `decimal: ','`"):
        Regression(0.0, 1.0).encode("180,6")


@pytest.mark.parametrize(
    ("kind", "decimal", "message"), [("a.jsonl", ",", "is for CSV, TSV"), ("a.csv", "x", "a point")]
)
def test_decimals_that_cannot_be(tmp_path: Path, kind: str, decimal: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        source(tmp_path / kind, "", decimal=decimal)


def test_columns_that_are_none(tmp_path: Path) -> None:
    for columns in ([], "", ["a", "a"]):
        with pytest.raises(UserError, match=r"`inputs.features` must name a column, or several different ones"):
            source(tmp_path / "a.csv", "", inputs={"features": columns})


def test_columns_of_texts_are_joined(tmp_path: Path) -> None:
    processor = TextProcessor(character_tokenizer("ascii"), 16)
    data = source(tmp_path / "a.csv", "t,u,topic\nab,c,x\n,c,y\n", inputs={"text": ["t", "u"]})
    found = encode(data, processor)["inputs/input_ids"]
    assert [processor.tokenizer.decode(ids, skip_special_tokens=True) for ids in found] == ["a b c", "c"]
    assert "columns 't', 'u': input 'text': the text is empty" in refuse(
        source(tmp_path / "b.csv", "t,u,topic\n,,x\n", inputs={"text": ["t", "u"]}), processor
    )
    with pytest.raises(UserError, match="words stand in one column, found t, u"):
        Encoding("mine", source(tmp_path / "a.csv", "", inputs={"tokens": ["t", "u"]}, labels={}), processor, {})


def test_images_by_channel() -> None:
    channel = [[1.0, 2.0], [3.0, 4.0]]
    found = TensorProcessor("image", 3).encode({"image": [(channel, channel)]})["image"]
    assert found[0].shape == (2, 2, 2)
    with pytest.raises(UserError, match=r"its columns must have one shape, found \[1, 2, 2\], \[1, 1, 2\]"):
        TensorProcessor("image", 3).encode({"image": [(channel, channel[:1])]})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[1, 2.5]", [1, 2.5]),
        ("[1.  2.5]", [1, 2.5]),
        ("1 2.5", [1, 2.5]),
        (" 7 ", 7),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
    ],
)
def test_numbers_in_texts(text: str, wanted: Any) -> None:
    assert numbers(text).tolist() == wanted


# -- streams and predictions -------------------------------------------------------------------------------------------
def test_streams_read_alike(tmp_path: Path) -> None:
    content = "".join(json.dumps({"doc": {"text": row["text"]}, "topic": row["topic"]}) + "\n" for row in ROWS)
    options = {"inputs": {"text": "doc.text"}, "streaming": Streaming(2), "encoding": "utf-8"}
    stream = source(tmp_path / "a.jsonl", content, **options).load()["train"]
    assert isinstance(stream, IterableDataset)
    assert [row["doc.text"] for row in stream] == [row["text"] for row in ROWS]


@pytest.mark.parametrize("streaming", [None, Streaming(2)], ids=["whole", "streamed"])
def test_constants_are_columns_of_one_value(tmp_path: Path, streaming: Streaming | None) -> None:
    options = {"constants": {"topic": "politics", "year": 1999}, "streaming": streaming}
    data = source(tmp_path / "a.csv", "text\none\ntwo\n", **options)
    wanted = [{"text": text, "topic": "politics", "year": 1999} for text in ("one", "two")]
    assert [{name: row[name] for name in wanted[0]} for row in data.load()["train"]] == wanted
    taken = source(tmp_path / "b.csv", "text,topic\none,x\n", **options)
    with pytest.raises(UserError, match=r"`constants.topic`: .*b.csv has a column of this name; choose another"):
        list(taken.load()["train"])


def test_a_table_to_predict_on_is_read_as_the_training_data(tmp_path: Path) -> None:
    options = {"delimiter": ";", "encoding": "latin-1", "inputs": {"features": ["a", "b"]}}
    data = source(tmp_path / "a.csv", "a;b;topic\n1;2;x\n", **options)
    path = tmp_path / "new.csv"
    path.write_bytes("a;b;n\n1;2;é\n".encode("latin-1"))
    found, table = read_inputs(str(path), {"d": data})
    assert found.inputs == data.inputs
    assert table.select_columns(["a", "b", "n"]).to_list() == [{"a": "1", "b": "2", "n": "é"}]
    lines = tmp_path / "new.jsonl"
    lines.write_text('{"a": 1, "b": 2}\n')
    assert read_inputs(str(lines), {"d": data})[1]["b"][:] == [2]
