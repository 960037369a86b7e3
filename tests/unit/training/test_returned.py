"""What tasks of one's own return in an evaluation is a number, or one line says what it is."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import MeanMetric, MetricCollection

from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression
from mtl_lightning.training.evaluation import Evaluation
from mtl_lightning.training.returned import as_score

NUMBERS = [1, 1.0, True, np.float32(1), np.int64(1), np.array([1.0]), np.bool_(True), Decimal(1), torch.tensor([[1]])]
NO_NUMBERS = [
    *(None, "1", b"1", "abc", 1j, np.complex64(1), torch.tensor(1 + 0j), 10**400, [1.0], (1.0,), {"x": {"y": 1.0}}),
    *(torch.tensor([1.0, 2.0]), torch.tensor([]), np.array([1.0, 2.0]), np.array(["a"]), object),
]


class Own(Regression):
    """Returns what it is told."""

    def __init__(self, **returned: Any) -> None:
        super().__init__()
        self.adapt([0.0, 1.0, 2.0])
        self.returned = returned

    def metrics(self) -> MetricCollection:
        class Odd(MeanMetric):
            compute = lambda metric: self.returned.get("score", 0.5)  # noqa: E731

        return MetricCollection({"odd": Odd(), **super().metrics()}, compute_groups=False)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.returned.get("loss", torch.tensor(1.0))

    def correct(self, logits: torch.Tensor, targets: torch.Tensor) -> Any:
        return self.returned.get("correct")


def evaluate(task: Own, joint: Sequence[str] = ("d",)) -> float:
    tasks = {"a": task}
    evaluation = Evaluation(tasks, joint)
    evaluation.update("d", tasks, {"a": torch.ones(3, 1)}, {"a": torch.arange(3.0)}, {"a": 3})
    return evaluation.compute(tasks).metrics["a"]["odd"]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_a_number_is_a_score(value: Any) -> None:
    assert as_score(value, "it") == 1.0


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_anything_else_is_said(value: Any) -> None:
    with pytest.raises(UserError, match=r"^it must be one real number \(NaN where it is not defined\), found "):
        as_score(value, "it")


def test_an_evaluation_says_of_which_task_and_metric_it_is() -> None:
    assert evaluate(Own()) == 0.5
    with pytest.raises(
        UserError, match=r"metric 'odd' of task 'a' must be .*, found Tensor of shape \[2\] and type tor"
    ):
        evaluate(Own(score=torch.ones(2)))


@pytest.mark.parametrize("loss", [None, 1.0, "1", torch.ones(2), torch.tensor(1), torch.tensor(1j)], ids=repr)
def test_a_loss_that_is_none_is_said(loss: Any) -> None:
    with pytest.raises(
        UserError, match="the loss of task 'a' must be a scalar tensor of a floating-point type, found "
    ):
        evaluate(Own(loss=loss))


@pytest.mark.parametrize("correct", [1.0, "1", True, torch.ones(2), torch.ones(3, 1), torch.ones(3) * 1j], ids=repr)
def test_what_is_right_must_be_one_number_an_example(correct: Any) -> None:
    with pytest.raises(UserError, match=r"`correct` of task 'a' must return a tensor of the shape \[3\]"):
        evaluate(Own(correct=correct))


def test_a_data_set_of_one_task_asks_for_nothing_that_is_right_for_all() -> None:
    assert evaluate(Own(correct="not asked for"), joint=()) == 0.5


def test_a_main_metric_that_is_no_name_is_said() -> None:
    with pytest.raises(UserError, match="`main_metric` must be the name of a metric, found None"):
        Regression(main_metric=None)  # type: ignore[arg-type]
