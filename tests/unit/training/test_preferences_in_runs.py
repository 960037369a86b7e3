"""A sharing is told what each step of a run prefers."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from test_training_options import batch, fit, module_of
from torch import Tensor

from mtl_lightning.sharing import HardSharing, PreferenceFiLM, Sharing
from mtl_lightning.weighting import COSMOS, UPGrad, Weighting


class Seen(PreferenceFiLM):
    """Notes what it was told."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.told: list[list[float]] = []

    def prefer(self, preference: Tensor) -> None:
        super().prefer(preference)
        self.told.append(preference.tolist())


def test_a_run_tells_it_what_each_step_weighs_by() -> None:
    module = module_of(partial(COSMOS, seed=3), sharing=Seen)
    fit(module, [batch(i) for i in range(5)])
    drawn, expected = COSMOS([*"abc"], seed=3), []
    for _ in range(5):
        expected.append(drawn.preference.tolist())
        drawn(torch.ones(3), torch.arange(3))
    assert module.sharing.told == expected
    assert len({tuple(each) for each in expected}) == 5


@pytest.mark.parametrize(
    ("sharing", "weighting", "words"),
    [
        (PreferenceFiLM, UPGrad, "UPGrad draws none; choose model.weighting: COSMOS"),
        (HardSharing, COSMOS, "HardSharing is not told, so that its weights are random numbers"),
        (PreferenceFiLM, COSMOS, None),
    ],
)
def test_one_without_the_other_is_said(
    sharing: Callable[..., Sharing],
    weighting: Callable[..., Weighting],
    words: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "mtl_lightning.callbacks.told_preference"):
        fit(module_of(weighting, sharing=sharing), [batch(0)])
    said = [record.getMessage() for record in caplog.records if record.name.endswith("told_preference")]
    assert (len(said) == 1 and words in said[0]) if words else not said
