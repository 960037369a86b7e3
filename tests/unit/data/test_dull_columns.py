"""Columns that tell nothing are named once all rows were seen."""

import pytest

from mtl_lightning.data.dull_columns import noticed
from mtl_lightning.inputs.column_statistics import CountedColumn


def test_they_have_no_value_or_one(caplog: pytest.LogCaptureFixture) -> None:
    def rows(**columns: list[object]) -> list[CountedColumn]:
        return [CountedColumn(values, [1] * len(values)) for values in columns.values()]

    names = {"numeric": ["age", "few", "late"], "categorical": ["none", "city"]}
    some = [
        {
            "numeric": rows(age=[1, 2], few=[None, 5], late=[1]),
            "categorical": rows(none=[None, ""], city=["3", 3, 3.0]),
        },
        {"numeric": rows(age=[1], few=[5], late=[2]), "categorical": rows(none=[None], city=[3])},
    ]
    assert list(noticed("data set 'd'", names, some)) == some
    assert [record.message for record in caplog.records] == [
        f"data set 'd': column '{name}' {what}; it tells the model nothing"
        for name, what in (("none", "has no value"), ("city", "has the value '3' in every row"))
    ]
