"""The metrics that a config names, against scikit-learn, scipy and seqeval."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from seqeval.metrics import f1_score as span_f1
from sklearn import metrics as sk
from torch import Tensor
from torch.nn.functional import one_hot

from mtl_lightning.errors import UserError
from mtl_lightning.tasks import (
    IGNORE,
    MultiLabelClassification,
    Regression,
    SequenceClassification,
    Task,
    TokenClassification,
)

AVERAGES = ("macro", "micro", "weighted")
LABELS = ["a", "b", "c", "d", "never"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(1)


def values(task: Task, logits: Tensor, targets: Tensor, batches: int = 3) -> dict[str, float]:
    """Metrics over several batches, the last of them without examples; one batch after a pickle."""
    task.build(4)
    metrics = task.metrics()
    for part, wanted in zip(logits.chunk(batches), targets.chunk(batches), strict=True):
        metrics = pickle.loads(pickle.dumps(metrics))
        task.update(metrics, part, wanted)
    task.update(metrics, logits[:0], targets[:0])
    return {name: float(value) for name, value in metrics.compute().items() if name != "label_counts"}


def specificity(truth: Any, found: Any, label: int) -> float:
    return float(sk.recall_score(truth != label, found != label, zero_division=0))


def classes(num_labels: int) -> tuple[Tensor, Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Logits, targets with some missing, and truth, predictions and probabilities of those that are there."""
    targets = torch.randint(num_labels, (90,))
    logits = torch.randn(90, num_labels) + one_hot(targets, num_labels)
    targets[::7] = IGNORE
    present = targets != IGNORE
    scores = logits.softmax(-1)[present].numpy()
    return logits, targets, targets[present].numpy(), scores.argmax(-1), scores


def test_metrics_of_several_labels_agree_with_scikit_learn() -> None:
    names = ["balanced_accuracy", "kappa", "mcc", "quadratic_kappa", "specificity", "auroc", "average_precision"]
    names += [f"{score}_{average}" for score in ("f1", "precision", "recall") for average in AVERAGES]
    names += ["auroc_weighted", "average_precision_micro"]
    logits, targets, truth, found, scores = classes(4)
    truth_by_label = one_hot(torch.tensor(truth), 4).numpy()
    weights = np.bincount(truth)
    areas = [sk.roc_auc_score(truth == label, scores[:, label]) for label in range(4)]
    expected = {
        "accuracy": sk.accuracy_score(truth, found),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, found),
        "kappa": sk.cohen_kappa_score(truth, found),
        "quadratic_kappa": sk.cohen_kappa_score(truth, found, weights="quadratic"),
        "mcc": sk.matthews_corrcoef(truth, found),
        "specificity": np.mean([specificity(truth, found, label) for label in range(4)]),
        "auroc": np.mean(areas),
        "auroc_weighted": np.average(areas, weights=weights),
        "average_precision": sk.average_precision_score(truth_by_label, scores),
        "average_precision_micro": sk.average_precision_score(truth_by_label, scores, average="micro"),
        **{f"f1_{a}": sk.f1_score(truth, found, average=a) for a in AVERAGES},
        **{f"precision_{a}": sk.precision_score(truth, found, average=a) for a in AVERAGES},
        **{f"recall_{a}": sk.recall_score(truth, found, average=a) for a in AVERAGES},
    }
    assert values(SequenceClassification(LABELS[:4], metrics=names), logits, targets) == pytest.approx(expected)


@pytest.mark.parametrize("positive", ["yes", "no"])
def test_metrics_of_two_labels_are_those_of_the_positive_one(positive: str) -> None:
    ratios = ["f1", "precision", "recall", "specificity"]
    task = SequenceClassification(
        ["no", "yes"], positive=positive, metrics=[*ratios, "auroc", "average_precision", "mcc", "f1_macro"]
    )
    logits, targets, truth, found, scores = classes(2)
    label = ["no", "yes"].index(positive)
    expected = {
        "accuracy": sk.accuracy_score(truth, found),
        "f1": sk.f1_score(truth, found, pos_label=label),
        "f1_macro": sk.f1_score(truth, found, average="macro"),
        "precision": sk.precision_score(truth, found, pos_label=label),
        "recall": sk.recall_score(truth, found, pos_label=label),
        "specificity": specificity(truth, found, label),
        "auroc": sk.roc_auc_score(truth == label, scores[:, label]),
        "average_precision": sk.average_precision_score(truth == label, scores[:, label]),
        "mcc": sk.matthews_corrcoef(truth, found),
    }
    assert values(task, logits, targets) == pytest.approx(expected)
    assert task.describe("f1") == f"f1 (of '{positive}')" and task.describe("mcc") == "mcc"


def test_positive_label_is_the_second_one_by_default_and_said() -> None:
    task = SequenceClassification()
    task.adapt(["spam", "ham", "spam"])
    assert [task.describe(name) for name in ("accuracy", "f1", "auroc")] == [
        "accuracy",
        "f1 (of 'spam')",
        "auroc (of 'spam')",
    ]
    averaged = SequenceClassification(["ham", "spam"], average="macro", main_metric="f1")
    assert averaged.describe("f1") == "f1 (macro)"


@pytest.mark.parametrize("average", AVERAGES)
def test_averages_over_chosen_labels(average: Any) -> None:
    task = SequenceClassification(
        LABELS[:4], "f1", average=average, average_over=["d", "b"], metrics=["precision", "auroc"]
    )
    logits, targets, truth, found, scores = classes(4)
    picked = {"labels": [3, 1], "average": average}
    truth_by_label = np.stack([truth == 3, truth == 1], 1)
    assert values(task, logits, targets) == pytest.approx(
        {
            "f1": sk.f1_score(truth, found, **picked),
            "precision": sk.precision_score(truth, found, **picked),
            "auroc": sk.roc_auc_score(truth_by_label, scores[:, [3, 1]], average=average),
        }
    )
    assert task.describe("f1") == f"f1 ({average} of d, b)"


def test_labels_that_do_not_occur_count_for_no_average() -> None:
    task = SequenceClassification(LABELS, "f1", metrics=["balanced_accuracy", "auroc"])
    logits, targets, truth, found, scores = classes(4)
    logits = torch.nn.functional.pad(logits, (0, 1), value=-50.0)
    areas = [sk.roc_auc_score(truth == label, scores[:, label]) for label in range(4)]
    assert values(task, logits, targets) == pytest.approx(
        {
            "f1": sk.f1_score(truth, found, average="macro"),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, found),
            "auroc": np.mean(areas),
        }
    )


def test_quadratic_kappa_takes_numbers_by_their_value() -> None:
    labels = ["1", "10", "2"]
    task = SequenceClassification(labels, "quadratic_kappa", metrics=[])
    logits, targets, truth, found, _ = classes(3)
    by_value = np.array([0, 2, 1])
    assert values(task, logits, targets) == pytest.approx(
        {"quadratic_kappa": sk.cohen_kappa_score(by_value[truth], by_value[found], weights="quadratic")}
    )


@pytest.mark.parametrize(
    ("labels", "values", "said"),
    [(None, ["low", "high", "mid"], 1), (None, ["3", "1", "20"], 0), (["low", "mid", "high"], ["low"], 0)],
    ids=["names", "numbers", "given"],
)
def test_order_that_nobody_chose_is_said(labels: Any, values: list[str], said: int) -> None:
    task = SequenceClassification(labels, "quadratic_kappa")
    task.adapt(values)
    task.build(2)
    order = "quadratic_kappa takes the labels in this order: high, low, mid; set `labels` for another"
    assert task.remarks() == [order] * said


@pytest.mark.parametrize("num_labels", [2, 3])
def test_predictions_and_targets_of_one_label(num_labels: int) -> None:
    names = ["mcc", "kappa", "quadratic_kappa", "auroc", "recall", "specificity", "balanced_accuracy"]
    task = SequenceClassification(LABELS[:num_labels], metrics=names)
    logits = 9.0 * one_hot(torch.zeros(6, dtype=torch.long), num_labels)
    found = values(task, logits, torch.zeros(6, dtype=torch.long))
    undefined = {"kappa", "quadratic_kappa", "auroc"}
    assert {name for name, value in found.items() if value != value} == undefined
    assert (found["mcc"], found["accuracy"], found["balanced_accuracy"]) == (0, 1, 1)


def test_metrics_of_several_labels_at_once_agree_with_scikit_learn() -> None:
    names = ["subset_accuracy", "mcc", "specificity"]
    names += [f"{s}_{a}" for s in ("f1", "precision", "recall", "auroc", "average_precision") for a in AVERAGES]
    task = MultiLabelClassification(LABELS[:4], threshold=0.4, metrics=names)
    targets = torch.randint(2, (60, 4)).float()
    logits = torch.randn(60, 4) + targets
    logits[:20] = torch.where(targets[:20] == 1, 3.0, -3.0)
    scores = logits.sigmoid().numpy()
    truth, found = targets.numpy().astype(int), (scores > 0.4).astype(int)
    expected = {
        "f1": sk.f1_score(truth, found, average="macro"),
        "subset_accuracy": sk.accuracy_score(truth, found),
        "mcc": np.mean([sk.matthews_corrcoef(truth[:, i], found[:, i]) for i in range(4)]),
        "specificity": np.mean([specificity(truth[:, i], found[:, i], 0 + 1) for i in range(4)]),
    }
    for a in AVERAGES:
        expected |= {f"{n}_{a}": getattr(sk, f"{n}_score")(truth, found, average=a) for n in ("f1", "precision")}
        expected[f"recall_{a}"] = sk.recall_score(truth, found, average=a)
        expected[f"auroc_{a}"] = sk.roc_auc_score(truth, scores, average=a)
        expected[f"average_precision_{a}"] = sk.average_precision_score(truth, scores, average=a)
    unlabelled = torch.full((6, 4), torch.nan)
    assert values(task, torch.cat([logits, torch.randn(6, 4)]), torch.cat([targets, unlabelled])) == pytest.approx(
        expected
    )


def test_metrics_of_tags_agree_with_scikit_learn() -> None:
    task = TokenClassification(labels=LABELS[:4], average="weighted", metrics=["f1", "mcc", "recall_macro"])
    logits, targets, truth, found, _ = classes(4)
    expected = {
        "accuracy": sk.accuracy_score(truth, found),
        "f1": sk.f1_score(truth, found, average="weighted"),
        "mcc": sk.matthews_corrcoef(truth, found),
        "recall_macro": sk.recall_score(truth, found, average="macro"),
    }
    assert values(task, logits.view(9, 10, 4), targets.view(9, 10)) == pytest.approx(expected)


def test_averages_of_spans_agree_with_seqeval() -> None:
    tags = ["O", "B-x", "I-x", "B-y", "I-y"]
    targets, found = torch.randint(5, (30, 6)), torch.randint(5, (30, 6))
    found = torch.where(torch.rand(30, 6) < 0.7, targets, found)
    task = TokenClassification("bio", tags, metrics=[f"f1_{average}" for average in AVERAGES])
    truth, predicted = ([[tags[i] for i in row] for row in rows.tolist()] for rows in (targets, found))
    expected = {f"f1_{average}": span_f1(truth, predicted, average=average) for average in AVERAGES}
    scored = values(task, 9.0 * one_hot(found, 5), targets)
    assert scored == pytest.approx({"f1": expected["f1_micro"], **expected})
    one = TokenClassification("bio", tags, average_over=["y"], metrics=[])
    outside = [[[t if t.endswith("y") else "O" for t in row] for row in rows] for rows in (truth, predicted)]
    assert values(one, 9.0 * one_hot(found, 5), targets) == pytest.approx({"f1": span_f1(*outside)})


def test_metrics_of_numbers_agree_with_scikit_learn_and_scipy() -> None:
    task = Regression(
        mean=2.0, std=3.0, main_metric="r2", metrics=["spearman", "ccc", "mse", "mae", "explained_variance"]
    )
    logits = torch.randn(40, 1)
    predicted = logits[:, 0] * 3 + 2
    targets = predicted + torch.randn(40)
    covariance = np.cov(targets, predicted, ddof=0)
    gap = float(targets.mean() - predicted.mean())
    encoded = torch.tensor([task.encode(target) for target in targets.tolist()])
    targets, predicted = targets.numpy(), predicted.numpy()
    assert values(task, logits, encoded) == pytest.approx(
        {
            "r2": sk.r2_score(targets, predicted),
            "spearman": spearmanr(targets, predicted).statistic,
            "ccc": 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + gap**2),
            "mse": sk.mean_squared_error(targets, predicted),
            "mae": sk.mean_absolute_error(targets, predicted),
            "explained_variance": sk.explained_variance_score(targets, predicted),
        },
        rel=1e-3,
    )


def test_r2_of_one_example_is_not_a_number() -> None:
    (found,) = values(Regression(0, 1, "r2", metrics=[]), torch.randn(1, 1), torch.randn(1), batches=1).values()
    assert found != found


@pytest.mark.parametrize(
    ("task", "higher"),
    [
        (Regression(main_metric="r2"), True),
        (Regression(main_metric="mse"), False),
        (Regression(main_metric="loss"), False),
        (SequenceClassification(main_metric="mcc"), True),
        (SequenceClassification(main_metric="loss"), False),
    ],
    ids=lambda value: value.main_metric if isinstance(value, Task) else "",
)
def test_direction(task: Task, higher: bool) -> None:
    assert task.higher_is_better is higher


@pytest.mark.parametrize("num_labels", [2, 20], ids=["two", "many"])
def test_metrics_of_two_processes_are_those_of_all_examples(num_labels: int) -> None:
    names = ["mcc", "quadratic_kappa", "f1", "balanced_accuracy"]
    task = SequenceClassification([str(i) for i in range(num_labels)], metrics=names)
    logits, targets, *_ = classes(num_labels)
    first, second = task.metrics(), task.metrics()
    task.update(first, logits[:20], targets[:20])
    task.update(second, logits[20:], targets[20:])
    for name, metric in first.items():
        metric.merge_state(copy.deepcopy(second[name]))
    expected = values(task, logits, targets, batches=1)
    assert {name: float(metric.compute()) for name, metric in first.items() if name != "label_counts"} == expected


def test_thousands_of_labels_need_no_table_of_labels_by_labels() -> None:
    num_labels = 10_000
    task = TokenClassification(labels=[str(i) for i in range(num_labels)], metrics=["f1", "mcc", "kappa", "accuracy"])
    metrics = task.metrics()
    task.update(metrics, torch.zeros(1, 2, num_labels), torch.tensor([[0, 1]]))
    held = [tensor for metric in metrics.values() for tensor in metric.metric_state.values()]
    assert max(tensor.numel() for tensor in held) == num_labels


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            SequenceClassification(["a", "b", "c"], metrics=["f1", "mc"]),
            r"`metrics`: unknown metric 'mc'; did you mean 'mcc'\? Choose from accuracy, .*f1_macro, f1_micro, …",
        ),
        (SequenceClassification(["a", "b", "c"], "zz"), "`main_metric`: unknown metric 'zz'; choose from accuracy, "),
        (Regression(0, 1, "f1"), "`main_metric`: unknown metric 'f1'; choose from pearson, spearman, .*mae, loss$"),
        (TokenClassification("bio", ["O", "B-x"], metrics=["mcc"]), "unknown metric 'mcc'.* accuracy, f1, precision"),
        (MultiLabelClassification(["a", "b"], "accuracy"), "'accuracy'; did you mean 'subset_accuracy'"),
        (SequenceClassification(["a", "b"], positive="c"), "`positive` names the unknown label 'c'; choose from a, b"),
        (SequenceClassification(["a", "b", "c"], positive="c"), "`positive` needs two labels, but the task has 3; set"),
        (SequenceClassification(["yes", "no"], positive=True), "unknown label 'True'; choose from no, yes"),
        (
            SequenceClassification(["a", "b", "c"], average_over=["x"], main_metric="f1"),
            "`average_over` names the unknown label 'x'",
        ),
        (SequenceClassification(["a", "b", "c"], average_over=[]), "`average_over` names no label"),
        (SequenceClassification(["1", "2", "3"], average_over=[2, 2.0]), "`average_over` names the label '2' twice"),  # type: ignore[list-item]
        (
            SequenceClassification(["a", "b", "c"], metrics=["mcc"], average="macro"),
            "`average: macro` has no effect on the metrics reported, mcc, accuracy; add one of f1, ",
        ),
        (
            MultiLabelClassification(["a", "b"], "mcc", metrics=[], average_over=["a"]),
            "`average_over` has no effect on the metrics reported, mcc; add one of f1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_make_no_sense(task: Task, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task.build(4)
