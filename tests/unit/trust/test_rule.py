"""What may stand at an argument: classes of its kind, and functions that are annotated to return one."""

import math
import operator
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, StepLR

from mtl_lightning.encoders import Encoder, PerceptronEncoder
from mtl_lightning.trust.rule import refusal_of

MAKES = Callable[[Sequence[Any]], Optimizer]
SCHEDULES = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]
DECAYS = Callable[[int], float]


def small() -> Encoder:
    return PerceptronEncoder(1)


def halved(parameters: Any) -> SGD:
    return SGD(parameters, lr=0.5)


def unannotated(parameters):
    return SGD(parameters, lr=0.5)


def misspelt(parameters: Any) -> "Optimiser":  # noqa: F821
    return SGD(parameters, lr=0.5)


def maker(lr: float) -> Callable[[Any], SGD]:
    return partial(SGD, lr=lr)


def decay(epoch: int) -> float:
    return 0.9**epoch


def hook(trainer: Any, module: Any) -> None: ...


def anything() -> Any: ...


class Own(SGD):
    @classmethod
    def slow(cls, parameters: Any) -> Optimizer:
        return cls(parameters, lr=0.1)


class Decay:
    def __call__(self, epoch: int) -> float:
        return 0.9**epoch


ALLOWED = [
    (PerceptronEncoder, Encoder, True),
    (small, Encoder, True),
    (torch.float64, torch.dtype, False),
    (Own, MAKES, True),
    (halved, MAKES, False),
    (partial(SGD, lr=0.1), MAKES, False),
    (partial(halved), MAKES, False),
    (maker, MAKES, True),
    (Own.slow, MAKES, False),
    (StepLR, SCHEDULES, True),
    (ReduceLROnPlateau, SCHEDULES, True),
    (decay, DECAYS, False),
    (Decay, DECAYS, True),
    (Decay(), DECAYS, False),
    (maker, Callable, True),
    (hook, Callable, False),
    (hook, Callable[..., Any], False),
]

REFUSED = [
    (SGD, Encoder, True),
    (unannotated, Encoder, True),
    (anything, Encoder, True),
    (os.system, MAKES, True),
    (os.system, MAKES, False),
    (unannotated, MAKES, False),
    (misspelt, MAKES, False),
    (halved, MAKES, True),  # it would be called with the arguments of a configuration, in place of the parameters
    (lambda parameters: SGD(parameters), MAKES, False),
    (partial(os.system, "x"), MAKES, False),
    (operator.methodcaller, MAKES, True),
    (decay, MAKES, False),
    (anything, MAKES, False),
    (Decay, MAKES, True),
    (math.exp, DECAYS, False),
    (os.system, Callable, False),
    (anything, Callable, False),
    (hook, Callable, True),
    (print, Callable[..., None], False),
    (eval, Callable[..., Any], False),
]


def ids(cases):
    return [f"{getattr(found, '__name__', type(found).__name__)}-{number}" for number, (found, *_) in enumerate(cases)]


@pytest.mark.parametrize(("found", "hint", "arguments"), ALLOWED, ids=ids(ALLOWED))
def test_allowed(found, hint, arguments):
    assert refusal_of(found, hint, arguments, False) is None


@pytest.mark.parametrize(("found", "hint", "arguments"), REFUSED, ids=ids(REFUSED))
def test_refused_with_a_reason(found, hint, arguments):
    assert refusal_of(found, hint, arguments, False)


@pytest.mark.parametrize(("found", "hint", "arguments"), ALLOWED, ids=ids(ALLOWED))
def test_of_somebody_else_only_classes_and_values_of_the_kind(found, hint, arguments):
    kinds = (PerceptronEncoder, torch.float64, Own, StepLR, ReduceLROnPlateau)
    assert (refusal_of(found, hint, arguments, True) is None) == (found in kinds)


def test_the_reason_says_how_to_annotate():
    assert "annotated to return one (`-> Optimizer`)" in refusal_of(unannotated, MAKES, False, False)
