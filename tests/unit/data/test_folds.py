"""Splits by folds, and by the values of a column."""

import logging
from collections import Counter
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from mtl_lightning.data import ColumnSplit, FoldSplit
from mtl_lightning.errors import UserError
from mtl_lightning.rows.bad_lines import BAD

TABLE = Dataset.from_dict(
    {
        "row": list(range(60)),
        "label": [["x", "x", "y"][i % 3] for i in range(60)],
        "speaker": [i // 4 for i in range(60)],
        "target": [i / 7 for i in range(60)],
    }
)
KINDS: list[dict[str, Any]] = [
    {},
    {"stratify": "label"},
    {"group": "speaker"},
    {"stratify": "label", "group": "speaker"},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_row_is_tested_once(kind: dict[str, Any]) -> None:
    tested = []
    for fold in range(5):
        splits = FoldSplit(test=fold, **kind).divide(TABLE)
        rows = {name: set(split["row"]) for name, split in splits.items()}
        assert set.union(*rows.values()) == set(range(60))
        assert sum(map(len, rows.values())) == 60
        assert rows["val"] == set(FoldSplit(test=(fold + 1) % 5, **kind).divide(TABLE)["test"]["row"])
        tested += rows["test"]
    assert sorted(tested) == list(range(60))


def test_folds_are_stratified() -> None:
    for fold in range(5):
        found = Counter(FoldSplit(test=fold, stratify="label").divide(TABLE)["test"]["label"])
        assert found == {"x": 8, "y": 4}


def test_groups_stay_together() -> None:
    splits = FoldSplit(group="speaker").divide(TABLE)
    assert not set(splits["train"]["speaker"]) & {*splits["val"]["speaker"], *splits["test"]["speaker"]}
    assert not set(splits["val"]["speaker"]) & set(splits["test"]["speaker"])


def test_folds_follow_their_seed_alone() -> None:
    np.random.seed(1)
    first = FoldSplit().divide(TABLE)["test"]["row"][:]
    np.random.seed(2)
    assert FoldSplit().divide(TABLE)["test"]["row"][:] == first
    assert FoldSplit(seed=1).divide(TABLE)["test"]["row"][:] != first


def test_without_a_test_split() -> None:
    splits = FoldSplit(2, test=None, val=1).divide(TABLE)
    assert {name: len(split) for name, split in splits.items()} == {"train": 30, "val": 30}


def test_lines_that_are_no_examples_go_to_train() -> None:
    table = Dataset.from_dict({"group": [None, *range(9)], BAD: ["bad", *[None] * 9]})
    for fold in range(3):
        assert FoldSplit(3, test=fold, group="group").divide(table)["train"][0]["group"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_folds": 2}, "`num_folds` must be at least 3 (for training, validation and test), found 2"),
        ({"num_folds": 1, "test": None}, "`num_folds` must be at least 2 (for training and validation), found 1"),
        ({"test": 5}, "`test` must be the number of a fold, 0 to 4, found 5"),
        ({"val": -1}, "`val` must be the number of a fold, 0 to 4, found -1"),
        ({"val": 0}, "`val` and `test` must be different folds, found 0 for both"),
        ({"seed": -1}, "`seed` must be at least 0, found -1"),
        ({"group": "speakr"}, "no column 'speakr' to group by; did you mean 'speaker'?"),
        (
            {"stratify": "target"},
            "no value of column 'target' stands in 5 rows, so that folds cannot be stratified by it",
        ),
        ({"num_folds": 16, "group": "speaker"}, "`num_folds` is 16, but column 'speaker' has 15 different values"),
        ({"num_folds": 61}, "`num_folds` is 61, but there are 60 rows"),
    ],
)
def test_folds_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        FoldSplit(**arguments).divide(TABLE)
    assert str(raised.value).startswith(message)


def test_values_that_make_no_folds(caplog: pytest.LogCaptureFixture) -> None:
    table = Dataset.from_dict({"tags": [["a"]] * 9, "group": ["g", "", *"abcdefg"], "label": ["x"] * 8 + ["rare"]})
    with pytest.raises(UserError, match=r"row 1, column 'tags': folds need a text or a number, found \['a'\]"):
        FoldSplit(3, stratify="tags").divide(table)
    with pytest.raises(UserError, match="row 2, column 'group', by which folds are grouped, is empty"):
        FoldSplit(3, group="group").divide(table)
    with caplog.at_level(logging.WARNING):
        FoldSplit(3, stratify="label").divide(table)
    assert caplog.messages == [
        "column 'label': not every fold has a row with 'rare', which stand in fewer rows than folds"
    ]


# -- by the values of a column -----------------------------------------------------------------------------------------
YEARS = [2018, 2019, 2020, 2021, 2022, 2023]


@pytest.mark.parametrize("values", [YEARS, [str(year) for year in YEARS], [float(year) for year in YEARS]], ids=repr)
def test_values_may_be_numbers_and_lists(values: list[Any]) -> None:
    table = Dataset.from_dict({"year": values})
    splits = ColumnSplit("year", train=[2018, 2019, "2020"], val=2021, test=[2022, 2023]).divide(table)
    assert {name: len(split) for name, split in splits.items()} == {"train": 3, "val": 1, "test": 2}


@pytest.mark.parametrize("rest", ["train", "val", "test"])
def test_rest_takes_all_other_values(rest: Any) -> None:
    given = {name: value for name, value in (("train", 2018), ("val", 2019), ("test", 2020)) if name != rest}
    splits = ColumnSplit("year", rest=rest, **given).divide(Dataset.from_dict({"year": [*YEARS, None]}))
    assert {name: len(split) for name, split in splits.items()} == {
        **dict.fromkeys(["train", "val", "test"], 1),
        rest: 5,
    }


def test_truth_values_may_name_splits() -> None:
    for values in ([True, False, True], ["True", "false", "true"]):
        splits = ColumnSplit("held", train="true", val="false", test=None).divide(Dataset.from_dict({"held": values}))
        assert {name: len(split) for name, split in splits.items()} == {"train": 2, "val": 1}


def test_a_split_without_rows() -> None:
    table = Dataset.from_dict({"year": YEARS})
    with pytest.raises(UserError, match=r"column 'year' never says '2030' or '2031', the test split; it says 2018, "):
        ColumnSplit("year", val=2019, test=[2030, 2031], rest="train").divide(table)
    with pytest.raises(UserError, match=r"`split`: its parts must be different values, found 2019 for val and test"):
        ColumnSplit("year", val=2019, test=[2019, 2020], rest="train")
