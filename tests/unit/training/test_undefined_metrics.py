"""A metric that the targets of an evaluation leave undefined counts for no average, and is said once."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.tasks import (
    IGNORE,
    MultiLabelClassification,
    Regression,
    SequenceClassification,
    Task,
    TokenClassification,
)
from mtl_lightning.training.evaluation import Evaluation, Results
from mtl_lightning.training.extents import Extents

LOGITS = {"number": torch.tensor([[0.5], [1.0], [2.0]]), "kind": torch.tensor([[2.0, 0], [0, 1.0], [0, 1.0]])}


def evaluated(**targets: list[float]) -> tuple[Evaluation, Results]:
    tasks: dict[str, Task] = {"number": Regression(0.0, 1.0), "kind": SequenceClassification(["a", "b"])}
    for task in tasks.values():
        task.build(2)
    evaluation = Evaluation(tasks)
    wanted: dict[str, Tensor] = {name: torch.tensor(values) for name, values in targets.items()}
    for row in range(3):  # batches of one, as the targets of a batch are mostly equal then
        part = slice(row, row + 1)
        evaluation.update(
            "data",
            tasks,
            {name: LOGITS[name][part] for name in wanted},
            {name: values[part] for name, values in wanted.items()},
            {
                name: int((~values[part].isnan() & torch.ne(values[part], IGNORE)).sum())
                for name, values in wanted.items()
            },
        )
    return evaluation, evaluation.compute(tasks)


@pytest.mark.parametrize(
    "number",
    [[3.0, 3.0, 3.0], [-1.3, -1.3, -1.3], [3.0, math.nan, 3.0], [0.1, 0.1 + 1e-9, 0.1], [math.nan, 1.0, math.nan]],
)
def test_equal_targets_count_for_no_average(number: list[float], caplog: pytest.LogCaptureFixture) -> None:
    evaluation, results = evaluated(number=number, kind=[0, 1, 0])
    assert math.isnan(results.metrics["number"]["pearson"]) and not math.isnan(results.metrics["number"]["mae"])
    assert results.constant == {"number"}
    assert results.average == results.metrics["kind"]["accuracy"] == pytest.approx(2 / 3)
    for _ in range(2):
        evaluation.warn_of_undefined(results, "val")
    said = (
        "task 'number': all targets of split 'val' are equal, so pearson is not defined there; it is NaN and counts for"
    )
    assert [line.startswith(said) for line in caplog.messages] == [True]


def test_different_targets_count(caplog: pytest.LogCaptureFixture) -> None:
    evaluation, results = evaluated(number=[1.0, 2.0, 4.0], kind=[0, 0, 0])
    assert results.constant == {"kind"}
    assert results.average == pytest.approx(
        (results.metrics["number"]["pearson"] + results.metrics["kind"]["accuracy"]) / 2
    )
    evaluation.warn_of_undefined(results, "val")
    assert len(caplog.messages) == 1 and "has the label 'b', so auroc, f1 are not defined" in caplog.messages[0]


METRICS = ["accuracy", "f1", "recall", "mcc", "f1_macro"]


def _id(value: Any) -> str:
    """The same in every process, also of a set."""
    if isinstance(value, Task):
        return type(value).__name__
    return "-".join(sorted(value)) if isinstance(value, set) else str(value)


@pytest.mark.parametrize(
    ("task", "target", "undefined"),
    [
        (SequenceClassification(["a", "b"], metrics=METRICS), 0, {"f1", "recall", "mcc"}),
        (SequenceClassification(["a", "b"], metrics=METRICS), 1, {"mcc"}),
        (SequenceClassification(["a", "b"], metrics=METRICS, positive="a"), 1, {"f1", "recall", "mcc"}),
        (SequenceClassification(["a", "b"], metrics=METRICS, average="macro"), 0, {"mcc"}),
        (Regression(0.0, 1.0, metrics=["r2", "spearman", "ccc", "mae"]), 2.5, {"pearson", "r2", "spearman", "ccc"}),
        (
            MultiLabelClassification(["a", "b"], metrics=["f1", "f1_micro", "mcc"]),
            [0.0, 0.0],
            {"f1", "f1_micro", "mcc"},
        ),
        (TokenClassification("bio", labels=["O", "B-x", "I-x"]), [0, 0], {"f1", "precision", "recall"}),
        (TokenClassification(labels=["O", "x"], metrics=["accuracy", "mcc"]), [1, 1], {"mcc"}),
    ],
    ids=_id,
)
def test_what_equal_targets_leave_undefined(task: Task, target: Any, undefined: set[str]) -> None:
    task.build(2)
    evaluation, targets = Evaluation({"task": task}), torch.tensor([target] * 4)
    logits = torch.randn(*(4, 2)[: 2 if task.level == "tokens" else 1], task.num_outputs)
    evaluation.update("data", {"task": task}, {"task": logits}, {"task": targets}, {"task": targets.numel()})
    results = evaluation.compute({"task": task})
    found = {name for name, value in results.metrics["task"].items() if math.isnan(value)}
    assert found == undefined | ({"auroc"} & results.metrics["task"].keys())
    assert set(results.undefined("task")) == found


def test_a_task_without_a_label_and_an_average_of_nothing_are_said(caplog: pytest.LogCaptureFixture) -> None:
    evaluation, results = evaluated(number=[1.0, 1.0, 1.0], kind=[IGNORE] * 3)
    assert math.isnan(results.average)
    for _ in range(2):
        evaluation.warn_of_undefined(results, "val")
    assert [line.split(":")[0] for line in caplog.messages] == ["task 'number'", "task 'kind'", "val/average is NaN"]
    assert caplog.messages[1] == "task 'kind': no example of split 'val' has a label; it counts for no average"


def test_extents_start_anew() -> None:
    extents = Extents(1)
    extents.update(0, torch.tensor([1.0, 2.0]), math.nan)
    assert extents.compute().tolist() == [[1.0], [2.0]]
    extents.reset()
    extents.update(0, torch.tensor([[5, 5], [5, IGNORE]]), IGNORE)
    assert extents.compute().tolist() == [[5.0], [5.0]]


EVERY = ["pearson", "spearman", "ccc", "r2", "explained_variance", "rmse", "mse", "mae"]


def regressed(training: list[float], raw: list[float], predicted: list[float]) -> Results:
    """All metrics of a regression, in the way that targets take from a file."""
    task = Regression(metrics=EVERY)
    task.adapt(training)
    task.build(2)
    evaluation = Evaluation({"number": task})
    targets = torch.tensor([task.encode(value) for value in raw])
    evaluation.update(
        "d", {"number": task}, {"number": torch.tensor(predicted)[:, None]}, {"number": targets}, {"number": len(raw)}
    )
    return evaluation.compute({"number": task})


@pytest.mark.parametrize("value", [0.1, 3.0, -1e9 / 3, 1e-20, 1e30, 0.0])
@pytest.mark.parametrize("training", ["constant", "spread"])
def test_constant_up_to_rounding_is_constant_in_every_metric(value: float, training: str) -> None:
    near = [value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf)] if value else [0.0, -0.0, 0.0]
    seen = near if training == "constant" else [value - abs(value), value + abs(value) + 1e-30]
    results = regressed(seen, near, [0.1, 0.2, 0.4])
    found = results.metrics["number"]
    assert results.constant == {"number"}
    assert [name for name in EVERY if math.isnan(found[name])] == EVERY[:5]
    assert results.scores == []


@pytest.mark.parametrize(
    ("training", "raw"),
    [
        ([1e9, 1e9 + 1e-3, 1e9 - 1e-3], [1e9, 1e9 + 1e-3, 1e9 - 1e-3]),
        ([1e9 - 1, 1e9 + 1, 1e9], [1e9 + 1e-5, 1e9, 1e9 + 3e-5]),
        ([1e-30, 2e-30, 4e-30], [1e-30, 3e-30, 4e-30]),
        ([0.1, 0.1 + 1e-13, 0.1 - 1e-13], [0.1, 0.1 + 1e-13, 0.1 - 1e-13]),
    ],
    ids=["noise-at-1e9", "split-with-little-noise", "tiny", "thousands-of-roundings"],
)
def test_little_noise_far_from_zero_is_not_constant(training: list[float], raw: list[float]) -> None:
    results = regressed(training, raw, [0.1, 0.2, 0.4])
    assert results.constant == set()
    assert not any(math.isnan(results.metrics["number"][name]) for name in EVERY)


def test_predictions_that_differ_by_rounding_correlate_with_nothing() -> None:
    results = regressed([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.1, 0.1 + 1e-8, 0.1 + 2e-8])
    assert math.isnan(results.metrics["number"]["pearson"])
    assert results.constant == set()


def test_a_task_without_labels_is_not_constant() -> None:
    assert regressed([1.0, 2.0], [1.0], [0.1]).constant == {"number"}
    _, results = evaluated(kind=[0, 1, 0])
    assert results.constant == set()
