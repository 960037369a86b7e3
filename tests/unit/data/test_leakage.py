"""A column that is both an input and a label is noticed."""

import pytest

from mtl_lightning.data import FileSource
from mtl_lightning.data.leakage import warn_of_labels_given_away


def warnings(caplog: pytest.LogCaptureFixture, inputs: dict, labels: dict) -> list[str]:
    caplog.clear()
    warn_of_labels_given_away("log", FileSource(files={"train": "log.csv"}, inputs=inputs, labels=labels))
    return caplog.messages


def test_a_label_among_the_columns_of_a_table_is_named(caplog: pytest.LogCaptureFixture) -> None:
    inputs = {"numeric": ["price", "share"], "categorical": "click"}
    found = warnings(caplog, inputs, {"clicked": "click", "watch": "share", "buy": "buy"})
    assert [message.split(", which")[0] for message in found] == [
        "data set 'log': column 'click' is an input and the label of 'clicked'",
        "data set 'log': column 'share' is an input and the label of 'watch'",
    ]


def test_what_is_written_down_again_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(caplog, {"text": "sentence"}, {"story": "sentence"}) == []
