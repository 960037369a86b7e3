"""Hints of libraries that the user cannot act on are no lines of the output; others are."""

import warnings

from mtl_lightning.__main__ import main

IDLE = (
    "It is recommended to use `self.log('val/average', ..., sync_dist=True)` when logging on epoch level",
    "The number of training batches (5) is smaller than the logging interval Trainer(log_every_n_steps=50).",
)


def test_idle_hints_are_left_out(capsys):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert main(["fit", "--config=nowhere.yaml"]) == 2
        for text in (*IDLE, "something else"):
            warnings.warn(text, stacklevel=1)
    assert [str(warning.message) for warning in said] == ["something else"]
