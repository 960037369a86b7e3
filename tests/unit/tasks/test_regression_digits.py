"""Targets far from 0 lose no digit; constant, huge and odd ones are told of."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mtl_lightning.data.collation import stack
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression
from mtl_lightning.tasks.targets import Spread

UNITS = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
LOGITS = torch.tensor(UNITS).unsqueeze(1) + 0.1 * torch.randn(200, 1, generator=torch.Generator().manual_seed(1))


def learnt(values: Any, **options: Any) -> Regression:
    task = Regression(**options)
    task.adapt(values)
    task.build(3)
    return task


def measured(offset: float, scale: float, dtype: torch.dtype) -> dict[str, float]:
    """Metrics, loss and predictions of targets around ``offset``, in units of ``scale``."""
    values = [offset + scale * unit for unit in UNITS]
    task = learnt(values)
    targets = stack([task.encode(value) for value in values], task.missing).to(dtype)
    logits = LOGITS.to(dtype)
    metrics = task.metrics()
    for rows in (slice(0, 150), slice(150, 200)):
        task.update(metrics, logits[rows], targets[rows])
    found = {name: float(value) for name, value in metrics.compute().items()}
    predicted = np.array([row["value"] for row in task.decode(logits, None)])
    found |= {"loss": float(task.loss(logits, targets)), "predicted": float(predicted.mean() - offset)}
    return {name: value / (scale if name in ("mae", "rmse", "predicted") else 1) for name, value in found.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize(("offset", "scale"), [(1e6, 1.0), (1.7e9, 60.0), (0.0, 1e-20), (-1e30, 1e28)], ids=str)
def test_scores_are_those_of_the_same_numbers_around_0(offset: float, scale: float, dtype: torch.dtype) -> None:
    tolerance = {torch.bfloat16: 5e-3, torch.float16: 1e-3}.get(dtype, 2e-6)  # units at the edge of rounding
    assert measured(offset, scale, dtype) == pytest.approx(measured(0.0, 1.0, dtype), rel=tolerance, abs=1e-6)


def test_mean_and_deviation_survive_a_checkpoint_with_all_digits() -> None:
    found = learnt([1.7e9 + 60 * unit for unit in UNITS]).adapted()
    again = yaml.safe_load(yaml.safe_dump(found))
    assert again == found and Regression(**again).adapted() == found
    assert found["mean"] != float(np.float32(found["mean"]))


def test_predictions_are_in_double_precision() -> None:
    (row,) = learnt([1.7e9, 1.7e9 + 2]).decode(torch.tensor([[0.25]]), None)
    assert row == {"value": 1.7e9 + 1.25}


@pytest.mark.parametrize("value", [0.1, 1.7e9 + 0.1, -3e-12, 0.0])
def test_constant_but_for_rounding_is_constant(value: float) -> None:
    values = [value, value * (1 + 1e-16), value, math.nextafter(value, math.inf) if value > 1 else value]
    task = learnt(values)
    assert task.std == 1.0 and task.mean == pytest.approx(value, rel=1e-15)
    (remark,) = task.remarks()
    assert remark == f"all its 4 targets in the training split are {task.mean!r}: nothing can be learned from them"
    assert task.encode(value) == pytest.approx(0, abs=1e-6)


def test_small_differences_are_no_rounding() -> None:
    assert learnt([1e6, 1e6 + 1e-6]).std == pytest.approx(5e-7, rel=1e-3)


@pytest.mark.parametrize("value", [2**53 + 1, "9007199254740993"], ids=["number", "text"])
def test_digits_that_no_float_has_are_told_of(value: Any) -> None:
    (remark,) = learnt([value, 0.0]).remarks()
    assert remark.startswith(f"1 targets, such as {value!r}, are beyond 2^53 and lose digits")
    assert learnt([2**60, "1e20", 0.0]).remarks() == [], "these are exact"


@pytest.mark.parametrize("value", ["1e200", -(10**40), 1e37], ids=["text", "integer", "float"])
def test_huge_targets_are_refused(value: Any) -> None:
    for refuse in (Regression().check, Regression(0.0, 1.0).encode):
        with pytest.raises(
            UserError, match=r"expected a number of at most 1e\+36 in size, found .*; take its logarithm"
        ):
            refuse(value)


@pytest.mark.parametrize("value", [math.inf, "-inf", "1e999", 10**400], ids=["inf", "text", "too-large", "integer"])
def test_infinite_targets_are_refused(value: Any) -> None:
    with pytest.raises(UserError, match="expected a finite number, found"):
        Regression().check(value)


def test_missing_targets() -> None:
    task = learnt(["NA", -999, "-999.0", 1.0, 3.0, math.nan], missing=["NA", -999, "nan"])
    assert task.adapted() == {"mean": 2.0, "std": 1.0}
    assert all(math.isnan(task.encode(value)) for value in ("NA", -999, " ", None, math.nan, "nan"))


@pytest.mark.parametrize("value", ["NA", "nan", math.nan], ids=repr)
def test_a_word_for_no_target_names_the_setting(value: Any) -> None:
    with pytest.raises(UserError, match=rf"expected a finite number, found .*no label', set `missing: \['{value}'\]`"):
        Regression(mean=0, std=1).encode(value)


def test_a_number_for_no_target_is_remarked_upon() -> None:
    assert Spread.of([1, 2, 3, -999, -999]).notes == [
        "2 of 5 targets are -999, far from all others: if it means 'no label', set `missing: -999`"
    ]
    assert Spread.of([-1500, -999, -999, 0, 3]).notes == []


def test_a_mean_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`mean` must be a number, found inf"):
        Regression(mean=math.inf)


def test_a_target_is_said_in_words_as_it_stands_in_the_data() -> None:
    task = learnt([0.0, 0.5, 3.5, 1.2])
    said = [task.in_words(torch.tensor(task.encode(value), dtype=torch.float32)) for value in (0, 0.5, 3.5, None)]
    assert said == ["0", "0.5", "3.5", None]
