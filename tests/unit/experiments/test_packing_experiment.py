"""The experiment that compares packed and padded batches."""

import numpy as np
import pytest

from experiments.packing import __main__ as packing


def test_packed_batches_train_on_the_same_in_fewer_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
    monkeypatch.setattr(packing, "MODEL", {**packing.MODEL, **small})
    parts = packing.batches(np.array([4] * 40 + [30, 50]), bucket=1)[:1]
    padded, packed = (packing.measure(parts, each) for each in (False, True))
    assert padded["loss"] == pytest.approx(packed["loss"], rel=1e-5)
    assert packed["use"] >= padded["use"]
