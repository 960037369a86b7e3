"""Columns of tables: what is learnt of them, and what they become."""

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import ColumnStatistics, CountedColumn, learn
from mtl_lightning.inputs.tables import MISSING, UNKNOWN, TableInputs

finite = st.floats(-1e6, 1e6, width=32)


def counted(*values: Any) -> CountedColumn:
    return CountedColumn(values, [1] * len(values))


def learnt(numeric: Sequence[Sequence[Any]] = (), categorical: Sequence[Sequence[Any]] = (), **settings: Any) -> Any:
    inputs = TableInputs(**settings)
    rows = {"numeric": [counted(*column) for column in numeric]} if numeric else {}
    rows |= {"categorical": [counted(*column) for column in categorical]} if categorical else {}
    inputs.learn([rows])
    return inputs


def test_categories_are_numbered_by_how_often_they_occur() -> None:
    inputs = learnt(categorical=[["a", "b", "b", None, " c ", "c", "c"]])
    assert inputs.statistics.vocabularies == (("c", "b", "a"),)
    encoded = inputs.encode({"categorical": ["c", "b", "a", "new", None, "  "]})["categorical"]
    assert np.concatenate(encoded).tolist() == [2, 3, 4, UNKNOWN, MISSING, MISSING]


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3"])
def test_a_number_is_the_category_that_its_text_is(value: Any) -> None:
    inputs = learnt(categorical=[["3", 4]])
    assert inputs.encode({"categorical": [value]})["categorical"][0].tolist() == [2]


def test_a_list_of_one_value_is_that_value() -> None:
    inputs = learnt(numeric=[[[1.0], [3.0]]], categorical=[[["a"], ["b"], ["b"]]])
    assert inputs.statistics.means == (2.0,) and inputs.statistics.vocabularies == (("b", "a"),)
    for row in ({"numeric": [[1]], "categorical": [["a"]]}, {"numeric": [([1],)], "categorical": [(["a"],)]}):
        found = inputs.encode(row)
        assert (found["numeric"][0].tolist(), found["categorical"][0].tolist()) == ([-1.0], [3])


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}])
def test_a_category_is_one_value(value: Any) -> None:
    with pytest.raises(UserError, match=r"input 'categorical' must be one category, found .*; give each") as caught:
        learnt(categorical=[["a"], ["b"]]).encode({"categorical": [("a", value)]})
    assert caught.value.part == 1


def test_rare_categories_are_unknown_or_share_buckets() -> None:
    column = [*["often"] * 3, "once"]
    assert learnt(categorical=[column], min_count=2).statistics.vocabularies == (("often",),)
    assert learnt(categorical=[column], max_categories=1).statistics.vocabularies == (("often",),)
    hashed = learnt(categorical=[column], min_count=2, hash_buckets=4)
    assert hashed.num_categories == [1 + 2 + 4]
    numbers = np.concatenate(hashed.encode({"categorical": ["often", "once", "once", "\ud800"]})["categorical"])
    assert numbers[0] == 2
    assert numbers[1] == numbers[2]
    assert set(numbers[1:]) <= {3, 4, 5, 6}


@given(st.lists(finite, min_size=1, max_size=30), st.integers(1, 7))
def test_mean_and_deviation_are_those_of_the_whole_however_it_is_read(values: list[float], size: int) -> None:
    parts = [{"numeric": [counted(*values[i : i + size], None)]} for i in range(0, len(values), size)]
    found = learn(parts, 1, None)
    assert found.means[0] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    spread = np.std(values)
    assert found.deviations[0] == pytest.approx(spread if spread > 1e-3 else 1.0, rel=1e-3) or spread <= 1e-3


def test_counts_weigh_values() -> None:
    found = learn([{"numeric": [CountedColumn([0, 4], [3, 1])]}], 1, None)
    assert found.means == (1.0,)
    assert found.deviations == (math.sqrt(3),)


def test_columns_that_say_nothing_leave_numbers_finite() -> None:
    found = learnt(numeric=[[5, 5], [None, None]]).statistics
    assert found.means == (5.0, 0.0)
    assert found.deviations == (1.0, 1.0)


def test_numbers_are_standardised_and_missing_ones_are_nan() -> None:
    inputs = learnt(numeric=[[1, 3], [3.5, None]])
    encoded = inputs.encode({"numeric": [(1, "4.5"), ["", None], ("NaN", 3.5)]})
    found = inputs.collate([{"numeric": row} for row in encoded["numeric"]])["numeric"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[-1, 1], [np.nan, np.nan], [np.nan, 0]])


def test_large_numbers_keep_their_differences() -> None:
    start = 1_764_000_000  # seconds; float32 has one number in 128 there
    inputs = learnt(numeric=[[start, start + 1, start + 2]])
    encoded = inputs.encode({"numeric": [start, start + 1]})["numeric"]
    assert float(encoded[1][0] - encoded[0][0]) == pytest.approx(math.sqrt(1.5))
    with pytest.raises(UserError, match="beyond all numbers"):
        inputs.encode({"numeric": [1e300]})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("tall", "must be a number, found 'tall'; leave the field empty where a number is missing"),
        (date(2026, 1, 1), "must be a number, found datetime.date"),
        ("3,5", "set `decimal: ','`"),
        ("1 000", "must be one number, found 2: '1 000'; write one without blanks"),
        (math.inf, "finite"),
        (10**400, "must be"),
        ([1, 2], "must be one number, found 2; give each a column of its own"),
    ],
)
def test_a_bad_number_is_found_in_its_column(value: Any, said: str) -> None:
    inputs = learnt(numeric=[[1], [2]])
    with pytest.raises(UserError, match=said) as caught:
        inputs.encode({"numeric": [(1, 2.0), (3, value)]})
    assert caught.value.part == 1


def test_inputs_must_be_those_of_the_training_data() -> None:
    inputs = learnt(numeric=[[1]], categorical=[["a"], ["b"]])
    with pytest.raises(UserError, match="give `numeric` and `categorical`; found numeric"):
        inputs.encode({"numeric": [1]})
    with pytest.raises(UserError, match="`categorical` has 2 columns, found 1"):
        inputs.encode({"numeric": [1], "categorical": ["a"]})
    with pytest.raises(UserError, match="`numeric` has 1 column, found 2 values in a row"):
        inputs.encode({"numeric": [[1, 1]], "categorical": [["a", "b"]]})
    with pytest.raises(UserError, match="`categorical` has 2 columns, found 0"):
        inputs.encode({"numeric": [1, 1], "categorical": [["a", "b"], []]})
    with pytest.raises(UserError, match="has not seen its training data"):
        TableInputs().encode({"numeric": [1]})
    with pytest.raises(UserError, match="1 and 2 numeric columns"):
        learn([{"numeric": [counted(1)]}, {"numeric": [counted(1), counted(2)]}], 1, None)


def test_statistics_survive_a_file() -> None:
    found = learnt(numeric=[[1, 2, 4]], categorical=[["ä", "b\n"]]).statistics
    assert ColumnStatistics.read(found.written()) == found
    with pytest.raises(UserError, match="no statistics"):
        ColumnStatistics.read('{"means": []}')


def test_what_is_learnt_is_part_of_the_signature() -> None:
    signatures = [learnt(categorical=[[word]]).signature() for word in ("a", "b")]
    assert signatures[0] != signatures[1] != TableInputs().signature()


def test_made_up_rows_can_be_read() -> None:
    inputs = learnt(numeric=[[1, 2]], categorical=[["a"], [None]])
    assert set(inputs.encode(inputs.samples(7))) == {"numeric", "categorical"}


def test_categories_that_training_did_not_have_are_told_apart() -> None:
    for buckets in (0, 3):
        inputs = TableInputs(hash_buckets=buckets)
        inputs.learn([{"categorical": [CountedColumn(["a", "b"], [1, 1]), CountedColumn(["x"], [2])]}])
        encoded = inputs.encode({"categorical": [("a", "y"), (None, "x"), ("c", "")]})
        found = inputs.unknown(encoded)
        assert found["categorical", 0].tolist() == [False, False, True]
        assert found["categorical", 1].tolist() == [True, False, False]
    assert inputs.unknown({"numeric": np.zeros((2, 1))}) == {}
