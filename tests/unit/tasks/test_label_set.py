"""The label set is looked at once: spellings that are one, what is doubtful, what cannot be trained on."""

import math
import re
from typing import Any

import pytest

from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Counted
from mtl_lightning.tasks import (
    IGNORE,
    MultiLabelClassification,
    Regression,
    SequenceClassification,
    Task,
    TokenClassification,
)
from mtl_lightning.tasks.labelled import LabelledTask

CAFE = ["caf\u00e9", "cafe\u0301"]


def learnt(values: list[Any], task: LabelledTask | None = None) -> LabelledTask:
    task = SequenceClassification() if task is None else task
    task.adapt(values)
    return task


# -- one label in several spellings ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "labels", "encoded"),
    [
        ([1, "1.0", 0, "0", 1.0], ["0", "1"], [1, 1, 0, 0, 1]),
        (["1.0", "0.0"], ["0.0", "1.0"], [1, 0]),
        (["pos", " pos", "pos\u00a0", "neg", "pos\ufeff"], ["neg", "pos"], [1, 1, 1, 0, 1]),
        ([*CAFE, "bar"], ["bar", CAFE[0]], [1, 1, 0]),
        ([True, "true", "FALSE", False], ["False", "True"], [1, 1, 0, 0]),
        (["-0.0", "0", "-1.0", "-1"], ["-1", "0"], [1, 1, 0, 0]),
    ],
    ids=["pandas-numbers", "only-with-fraction", "blanks", "unicode", "truth-values", "signs"],
)
def test_spellings_of_one_label(values: list[Any], labels: list[str], encoded: list[int]) -> None:
    task = learnt(values)
    assert task.labels == labels
    assert [task.encode(value) for value in values] == encoded
    joined = len(set(map(str, values))) > len(labels)
    assert bool(task.remarks()) == joined and all("are read as one label" in remark for remark in task.remarks())


def test_what_is_joined_is_said_so_that_it_can_be_seen() -> None:
    task = learnt([Counted("1", 16), Counted("1.0", 15), Counted("x", 3), Counted(CAFE[1], 2), Counted(CAFE[0], 1)])
    assert task.remarks() == [
        "'1' (16) and '1.0' (15) are read as one label, '1'",
        f"'cafe\\u0301' (2) and '{CAFE[0]}' (1) are read as one label, '{CAFE[0]}'",
    ]


@pytest.mark.parametrize("task", [SequenceClassification(["1", "0"]), TokenClassification(labels=[1, 0])], ids=type)
def test_other_spellings_of_configured_labels_are_understood(task: LabelledTask) -> None:
    assert [task.index(name) for name in ("1.0", 1.0, " 1", "0.0")] == [0, 0, 0, 1]


def test_labels_that_the_config_tells_apart_stay_apart() -> None:
    task = SequenceClassification(["1", "1.0", "a", "a "])
    assert [task.encode(value) for value in ("1", 1.0, "a", "a ")] == [0, 1, 2, 3]
    with pytest.raises(UserError, match=r"label '1\.00' is not among the task's 4 labels"):
        task.encode("1.00")


def test_tags_are_one_in_all_spellings() -> None:
    task = learnt([["B-x", "I-x ", "O"], ["B-x", " O"]], TokenClassification("bio"))
    assert task.adapted() == {"labels": ["O", "B-x", "I-x"]}
    assert task.encode(["O ", "B-x"]) == [0, 1]


# -- what is doubtful --------------------------------------------------------------------------------------------------
MISSING = "may mean 'no label': then set"
DOUBTS: dict[str, tuple[list[Any], str]] = {
    "missing-words": (
        [*["pos"] * 3, "neg", "NA", "None"],
        f"'NA' (1) and 'None' (1) {MISSING} `missing: ['NA', 'None']`; if they are meant, list all labels in `labels`",
    ),
    "question-mark": (["a", "b", "?"], f"'?' (1) {MISSING} `missing: ['?']`"),
    "minus-one": ([0, 1, 2, -1], f"'-1' (1) {MISSING} `missing: ['-1']`"),
    "torch-ignore": ([0, 1, -100], f"'-100' (1) {MISSING} `missing: ['-100']`"),
    "case": (["pos", "Pos", "neg"], "'Pos' (1) and 'pos' (1) look alike but are different labels: make one of them by"),
    "full-width": (["a", "\uff41", "b"], "look alike but are different labels"),
    "cyrillic": (["spam", "sp\u0430m", "b"], "'spam' (1) and 'sp\\u0430m' (1) look alike"),
    "underscore": (["New York", "new_york", "b"], "look alike"),
    "leading-zero": (["01", "1", "b"], "look alike"),
    "truth-and-number": ([True, 1, "b"], "'1' (1) and 'True' (1) look alike"),
    "lists": (
        ["['a', 'b']", "['a']"],
        "labels such as \"['a', 'b']\" and \"['a']\" look like lists: for several labels",
    ),
    "joined": (["a|b", "a", "b"], "'a|b' look like several joined by '|': for several labels an example, use `Multi"),
    "joined-by-comma": (["a,b", "c,a", "d"], "look like several joined by ','"),
    "measurements": (["0.5", "1.5", "2.5"] * 2, "all labels are numbers, such as '0.5' and '1.5': if they measure"),
    "whole-numbers": ([7 * i for i in range(40)] * 4, "all labels are numbers, such as '0' and '273': if they measure"),
    "seldom": ([f"user {i}" for i in range(20)] * 3, "has 20 labels in 60 places"),
    "long": (["a" * 300, "b"], f"the label {'a' * 300!r:.37}…' has 300 characters: is its column an id, a free text"),
    "rare": ([f"text {i}" for i in range(20)] + ["text 0"] * 2, "has 20 labels in 22 places, such as 'text 0' and"),
}


@pytest.mark.parametrize(("values", "doubt"), DOUBTS.values(), ids=DOUBTS)
def test_doubtful_labels_are_said_in_a_line(values: list[Any], doubt: str) -> None:
    (remark,) = learnt(values).remarks()
    assert doubt in remark
    assert "\n" not in remark and len(remark) < 400


@pytest.mark.parametrize(
    "values",
    [
        ["pos", "neg"],
        [-1, 0, 1],
        ["+", "-"],
        ["C", "C++", "C#"],
        ["a, b", "c"],
        ["1", "2", "10"],
        ["NN", "NNS", "."],
        ["[UNK]", "(b)", "c"],
        list(range(1, 101)) * 4,
    ],
    ids=str,
)
def test_labels_in_order_are_not_remarked_upon(values: list[Any]) -> None:
    assert learnt(values).remarks() == []


def test_labels_that_the_config_lists_are_meant() -> None:
    assert SequenceClassification(labels=["pos", "Pos", "NA"]).remarks() == []


def test_many_doubtful_labels_fit_into_a_line() -> None:
    (remark,) = learnt([name for i in range(50) for name in (f"Label {i}", f"label {i}") * 5]).remarks()
    assert remark.startswith("'Label 0' (5) and 'label 0' (5); ") and "; 47 more such groups look alike" in remark


@pytest.mark.parametrize("values", [[f"id-{i}" for i in range(11)], [i / 7 for i in range(40)]], ids=["ids", "floats"])
def test_as_many_labels_as_examples_are_refused(values: list[Any]) -> None:
    asked = re.escape("is its column an id, a free text, or a number (`Regression`)? If it is meant, list them in")
    with pytest.raises(UserError, match=rf"has {len(values)} labels in {len(values)} places, each once, .*{asked}"):
        learnt(values)
    assert len(learnt(values[:5]).labels or []) == 5, "a small example may do so"


@pytest.mark.parametrize("values", [["a"] * 3, ["a", "a ", None, "a"]], ids=["same", "but-for-a-blank"])
def test_a_single_label_is_refused(values: list[Any]) -> None:
    with pytest.raises(UserError, match=r"needs at least two labels, found only 'a' \(3 times\) in the training split"):
        learnt(values)


# -- several labels ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    ["['a', 'c']", '["a","c"]', "['a' 'c']", "[a, c]", "('a', 'c')", "{'a', 'c'}", " [ 'c' , 'a' ] ", "a,c"],
)
def test_lists_that_went_through_csv(text: str) -> None:
    task = MultiLabelClassification(["a", "b", "c"])
    assert task.encode(text) == [1.0, 0.0, 1.0]
    assert learnt([text, "b"], MultiLabelClassification()).labels == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "names"), [("['it\\'s', \"a,b\"]", ["it's", "a,b"]), ("['a b']", ["a b"]), ("[]", [])]
)
def test_quotes_and_separators_in_lists_of_csv(text: str, names: list[str]) -> None:
    assert MultiLabelClassification().names(text) == names


@pytest.mark.parametrize("text", ["['a', 'b'", "(other)", "{x}", "a [sic]"])
def test_brackets_that_are_no_lists(text: str) -> None:
    assert MultiLabelClassification(separator="|").names(text) == [text]


@pytest.mark.parametrize("text", ["{'a': 1}", '{"a": 1}', "['a', 'b]"])
def test_broken_lists_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected a list of labels, or a text of them, found"):
        MultiLabelClassification().names(text)


def test_tags_that_went_through_csv() -> None:
    task = TokenClassification("bio", labels=["O", "B-x", "I-x"])
    assert task.encode("['B-x', 'I-x', 'O']") == task.encode('["B-x","I-x","O"]') == [1, 2, 0]


@pytest.mark.parametrize("separator", ["|", ";"])
def test_another_separator_is_remarked_upon(separator: str) -> None:
    (remark,) = learnt([separator.join("ab"), "a", "b"], MultiLabelClassification()).remarks()
    assert remark.endswith(f"look like several joined by '{separator}': if they are, set `separator: '{separator}'`")


# -- vectors -----------------------------------------------------------------------------------------------------------
VECTORS: dict[str, list[Any]] = {
    "numbers": [[1, 0, 1], [0, 0, 0], None, [0, 1, 1]],
    "floats": [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], None, [0.0, 1.0, 1.0]],
    "truth-values": [[True, False, True], [False] * 3, None, [False, True, True]],
    "csv": ["[1, 0, 1]", "[0, 0, 0]", "", "[0, 1, 1]"],
    "numpy": ["[1 0 1]", "[0. 0. 0.]", "", "[0 1 1]"],
    "digits": ["1,0,1", "0,0,0", "", "0,1,1"],
}


@pytest.mark.parametrize("values", VECTORS.values(), ids=VECTORS)
def test_vectors_have_an_output_a_position(values: list[Any]) -> None:
    nan = [math.nan] * 3
    for task in (learnt(values, MultiLabelClassification()), MultiLabelClassification(["x", "y", "z"])):
        assert [str(task.encode(value)) for value in values] == [
            str(row) for row in ([1.0, 0.0, 1.0], [0.0] * 3, nan, [0.0, 1.0, 1.0])
        ]
    (remark,) = (task := learnt(values, MultiLabelClassification())).remarks()
    assert task.labels == ["label_0", "label_1", "label_2"]
    assert (
        remark.startswith("its labels are vectors of 3 numbers 0 and 1: a label for each position") and "name" in remark
    )


def test_positions_of_a_vector_may_be_unknown() -> None:
    assert str(MultiLabelClassification(["x", "y"]).encode([1, None])) == "[1.0, nan]"
    assert str(MultiLabelClassification(["x", "y"]).encode("[nan, 0]")) == "[nan, 0.0]"


def test_lists_of_the_labels_0_and_1_are_no_vectors() -> None:
    task = learnt([[0], [1], [0, 1], [2, 0]], MultiLabelClassification())
    assert task.labels == ["0", "1", "2"]
    assert task.encode([0, 1]) == [1.0, 1.0, 0.0]


def test_vectors_of_another_length_are_refused_where_they_stand() -> None:
    task = learnt([[1, 0, 1], [0, 1], [0, 0, 1]], MultiLabelClassification())
    with pytest.raises(UserError, match="found a vector of 2 numbers 0 and 1, but the task has 3 labels"):
        task.encode([0, 1])


def test_probabilities_are_refused() -> None:
    with pytest.raises(UserError, match=r"expected names of labels, or a vector of 0 and 1, found \[0.2, 0.8\]"):
        MultiLabelClassification().adapt([[0.2, 0.8]])


@pytest.mark.parametrize("values", [[[1, -1, 1], [-1, -1, 1]], ["[1 -1]", "[-1 1]"]], ids=["lists", "numpy"])
def test_vectors_of_signs_are_refused(values: list[Any]) -> None:
    with pytest.raises(UserError, match=r"or a vector of 0 and 1, found .*; write 0 for -1"):
        learnt(values, MultiLabelClassification())


def test_a_vector_for_a_single_label_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected the name of a label, found \[0, 1\]"):
        SequenceClassification().adapt([[0, 1], [1, 0]])


# -- words that mean "no label" ----------------------------------------------------------------------------------------
def test_missing_words() -> None:
    task = learnt(["pos", "neg", "NA", "nan", " NA ", None, "  "], SequenceClassification(missing=["NA", "nan"]))
    assert task.labels == ["neg", "pos"] and task.remarks() == []
    assert [task.encode(value) for value in ("NA", " NA", "nan", "pos", math.nan)] == [IGNORE] * 3 + [1, IGNORE]


def test_missing_numbers_and_null() -> None:
    task = SequenceClassification(["0", "1"], missing=[-1, None])
    assert [task.encode(value) for value in (-1, "-1.0", "null", 0)] == [IGNORE, IGNORE, IGNORE, 0]


def test_missing_tags() -> None:
    task = learnt([["a", "_", "NA"], "NA", ["b"]], TokenClassification(missing="NA", missing_tag="_"))
    assert task.labels == ["a", "b"]
    assert task.encode(["_", "b", "NA", "a"]) == [IGNORE, 1, IGNORE, 0] and task.encode("NA") == []


def test_missing_among_several_labels() -> None:
    task = learnt(["a,NA", "b", "NA", ["NA"], []], MultiLabelClassification(missing="NA"))
    assert task.labels == ["a", "b"]
    assert task.encode("a,NA") == [1.0, 0.0] and task.encode([]) == [0.0, 0.0]
    assert all(math.isnan(value) for raw in ("NA", ["NA"], [None]) for value in task.encode(raw))


@pytest.mark.parametrize(
    ("task", "values"),
    [
        (SequenceClassification(missing=["NA", "?"]), ["a", "b", "?"]),
        (MultiLabelClassification(missing=["NA", "?"]), [["a", "?"], ["b"]]),
        (TokenClassification(missing="NA", missing_tag="?"), [["a", "b", "?"]]),
        (Regression(missing=["NA", "?"]), [1, 2, "?"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_word_that_is_nowhere_is_said(task: Task, values: list[Any]) -> None:
    task.adapt(values)
    assert task.remarks() == ["`missing` names 'NA', which no label of the training split says"]


def test_a_tag_that_may_mean_none_names_the_setting() -> None:
    with pytest.raises(UserError, match=r"tag '_' is not BIO .*; if it means 'no label', set `missing: \['_'\]`"):
        TokenClassification("bio", labels=["O", "B-x"]).encode(["_"])


def test_a_word_that_is_a_label_too_is_refused() -> None:
    with pytest.raises(UserError, match="`labels` and `missing` both name 'NA'; take it out of one of them"):
        SequenceClassification(labels=["a", "NA"], missing="NA")


@pytest.mark.parametrize("make", [SequenceClassification, MultiLabelClassification], ids=lambda c: c.__name__)
def test_an_unknown_label_that_may_mean_none_names_the_setting(make: Any) -> None:
    with pytest.raises(UserError, match=r"label 'n/a' is not .*; if it means 'no label', set `missing: \['n/a'\]`"):
        make(labels=["a", "b"]).encode("n/a")
