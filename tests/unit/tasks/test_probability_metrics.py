"""Metrics of probabilities: log loss, calibration, and the area inside groups."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.tasks import IGNORE, SequenceClassification
from mtl_lightning.tasks.grouped_auroc import NO_GROUP, GroupedAUROC
from mtl_lightning.training.empty_states import give_types

PROBABILITIES = ["log_loss", "calibration_error"]


def values(task: SequenceClassification, logits: Tensor, targets: Tensor, groups: Tensor | None = None) -> dict:
    task.build(4)
    metrics = task.metrics()
    for part in torch.arange(len(logits)).split(7):
        task.update(metrics, logits[part], targets[part])
        if groups is not None:
            task.update_grouped(metrics, logits[part], targets[part], groups[part])
    return {name: float(value) for name, value in metrics.compute().items() if name != "label_counts"}


def drawn(num_labels: int, size: int = 60) -> tuple[Tensor, Tensor, np.ndarray, np.ndarray]:
    """Logits and targets, some of which are missing, and the probabilities and targets of the others."""
    torch.manual_seed(0)
    logits, targets = 2 * torch.randn(size, num_labels), torch.randint(num_labels, (size,))
    targets[::9] = IGNORE
    known = targets != IGNORE
    return logits, targets, logits[known].softmax(-1).numpy(), targets[known].numpy()


def calibration_error(confidences: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((confidences * 15).astype(int), 14)
    gaps = [abs(confidences[bins == n].sum() - right[bins == n].sum()) for n in range(15)]
    return float(sum(gaps)) / len(right)


@pytest.mark.parametrize("positive", ["no", "yes"])
def test_two_labels(positive: str) -> None:
    logits, targets, probabilities, truth = drawn(2)
    names = [*PROBABILITIES, "bias"]
    found = values(SequenceClassification(["no", "yes"], "log_loss", metrics=names, positive=positive), logits, targets)
    place = ["no", "yes"].index(positive)
    scores, right = probabilities[:, place], truth == place
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, probabilities), rel=1e-6)
    assert found["bias"] == pytest.approx(scores.mean() - right.mean(), abs=1e-6)
    assert found["calibration_error"] == pytest.approx(calibration_error(scores, right), rel=1e-5)


def test_several_labels() -> None:
    logits, targets, probabilities, truth = drawn(4)
    found = values(SequenceClassification(list("abcd"), metrics=PROBABILITIES), logits, targets)
    right = probabilities.argmax(1) == truth
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, probabilities), rel=1e-6)
    assert found["calibration_error"] == pytest.approx(calibration_error(probabilities.max(1), right), rel=1e-5)


def test_direction() -> None:
    assert not SequenceClassification(["a", "b"], "log_loss").higher_is_better
    assert not SequenceClassification(["a", "b"], "calibration_error").higher_is_better
    assert SequenceClassification(["a", "b"], "grouped_auroc", group="user").higher_is_better


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ["grouped_auroc"]}, "`grouped_auroc` needs `group`"),
        ({"main_metric": "bias"}, "neither a higher nor a lower bias is better"),
        ({"labels": ["a", "b", "c"], "group": "user"}, "`group` needs two labels, but the task has 3; leave it out"),
        ({"labels": ["a", "b", "c"], "metrics": ["bias"]}, "unknown metric 'bias'"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SequenceClassification(**{"labels": ["a", "b"], **settings}).build(4)


# -- groups ------------------------------------------------------------------------------------------------------------
def mean_area(scores: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> float:
    sizes, areas = [], []
    for group in set(groups.tolist()) - {NO_GROUP}:
        mine = groups == group
        if len(set(truth[mine].tolist())) == 2:
            sizes.append(mine.sum())
            areas.append(sk.roc_auc_score(truth[mine], scores[mine]))
    return float(np.average(areas, weights=sizes))


def test_area_inside_groups_agrees_with_scikit_learn_group_by_group() -> None:
    logits, targets, _, _ = drawn(2, 200)
    logits = logits.round()  # so that some scores are the same
    groups = torch.randint(NO_GROUP, 30, (200,)) * 2**40
    groups[groups < 0] = NO_GROUP
    task = SequenceClassification(["no", "yes"], "grouped_auroc", metrics=["auroc"], group="user")
    found, known = values(task, logits, targets, groups), targets != IGNORE
    scores = logits[known].softmax(-1)[:, 1].numpy()
    assert found["grouped_auroc"] == pytest.approx(mean_area(scores, targets[known].numpy(), groups[known].numpy()))
    assert found["grouped_auroc"] != pytest.approx(found["auroc"], abs=1e-3)


def test_usual_metrics_of_a_task_with_groups() -> None:
    task = SequenceClassification(["no", "yes"], group="user")
    task.build(4)
    assert {*task.metrics()} == {"accuracy", "f1", "auroc", "grouped_auroc", "label_counts"}
    assert task.describe("grouped_auroc") == "grouped_auroc (of 'yes')"


def test_no_group_has_an_area() -> None:
    metric = GroupedAUROC()
    metric.update(torch.rand(4), torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 2, NO_GROUP]))
    assert math.isnan(metric.compute())


def test_a_process_without_labels_sends_groups_as_others_do() -> None:
    task = SequenceClassification(["no", "yes"], group="user")
    task.build(4)
    metrics = task.metrics()
    give_types(metrics, task)
    assert [state.dtype for state in metrics["grouped_auroc"].groups] == [torch.int64]
