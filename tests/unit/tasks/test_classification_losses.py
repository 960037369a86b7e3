"""Weighted and focal losses against torch and closed forms; what they take from the training data."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels import Counted
from mtl_lightning.tasks import IGNORE, MultiLabelClassification, SequenceClassification, Task, TokenClassification
from mtl_lightning.testing import check_task

LABELS = ["p", "q", "r"]
WEIGHTS = {"q": 3.0, "r": 0.5, "p": 2.0}
ORDERED = torch.tensor([2.0, 3.0, 0.5])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(2)


def built(task: Task) -> Task:
    task.build(4)
    return task


def some(rows: int = 12) -> tuple[Tensor, Tensor]:
    targets = torch.randint(3, (rows,))
    targets[::5] = IGNORE
    return torch.randn(rows, 3, requires_grad=True), targets


# -- weights -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_class_weights_multiply_the_losses_of_their_labels(label_smoothing: float) -> None:
    logits, targets = some()
    task = built(SequenceClassification(LABELS, class_weights=WEIGHTS, label_smoothing=label_smoothing))
    total = cross_entropy(logits, targets, ORDERED, reduction="sum", label_smoothing=label_smoothing)
    expected = total / (targets != IGNORE).sum()
    assert torch.allclose(task.loss(logits, targets), expected)


def test_class_weights_of_tags() -> None:
    logits, targets = some()
    task = built(TokenClassification(labels=LABELS, class_weights=WEIGHTS))
    expected = cross_entropy(logits, targets, ORDERED, reduction="sum") / (targets != IGNORE).sum()
    assert torch.allclose(task.loss(logits.view(3, 4, 3), targets.view(3, 4)), expected)


def test_label_smoothing_spreads_a_part_of_the_target_over_all_labels() -> None:
    logits, targets = some()
    task = built(TokenClassification(labels=LABELS, label_smoothing=0.3))
    logs, present = logits.log_softmax(-1), targets != IGNORE
    right = logs.gather(-1, targets.clamp(min=0)[:, None])[:, 0]
    expected = -(0.7 * right + 0.3 * logs.mean(-1))[present].mean()
    assert torch.allclose(task.loss(logits.view(3, 4, 3), targets.view(3, 4)), expected)


def test_class_weights_of_types_of_spans() -> None:
    labels = ["O", "B-x", "I-x", "B-y", "I-y"]
    task = built(TokenClassification("bio", labels, class_weights={"y": 3, "O": 0.5, "B-x": 1, "I-x": 2}))
    assert task.label_weights is not None and task.label_weights.tolist() == [0.5, 1, 2, 3, 3]
    with pytest.raises(UserError, match="`class_weights` misses 'I-x'"):
        built(TokenClassification("bio", labels, class_weights={"y": 3, "O": 0.5, "B-x": 1}))


def test_weights_of_one_change_nothing() -> None:
    logits, targets = some()
    plain = built(SequenceClassification(LABELS))
    weighted = built(SequenceClassification(LABELS, class_weights=dict.fromkeys("pqr", 1)))
    assert torch.equal(plain.loss(logits, targets), weighted.loss(logits, targets))


def test_a_weight_counts_in_a_batch_of_one() -> None:
    task = built(SequenceClassification(LABELS, class_weights=WEIGHTS))
    logits = torch.randn(1, 3)
    assert torch.allclose(task.loss(logits, torch.tensor([1])), 3 * cross_entropy(logits, torch.tensor([1])))


def test_balanced_weights_are_scikit_learns() -> None:
    raw = ["p"] * 7 + [None] + ["q"] * 2 + ["r"]
    task = SequenceClassification(class_weights="balanced")
    assert task.adapted() == {}
    task.adapt(iter(raw))
    names = [label for label in raw if label]
    expected = compute_class_weight("balanced", classes=np.array(LABELS), y=names)
    assert list(task.adapted()) == ["labels", "class_weights"]
    assert task.adapted()["class_weights"] == pytest.approx(dict(zip(LABELS, expected, strict=True)))
    targets, logits = torch.tensor([LABELS.index(label) for label in names]), torch.randn(len(names), 3)
    mean = cross_entropy(logits, targets, torch.tensor(expected).float())  # over the training data: torch's own mean
    assert torch.allclose(built(task).loss(logits, targets), mean)


def test_balanced_weights_of_given_labels() -> None:
    task = SequenceClassification(["r", "p", "never"], class_weights="balanced")
    task.adapt(["p", "r", "p", "p", ""])
    assert task.adapted() == {
        "labels": ["r", "p", "never"],
        "class_weights": {"r": 2.0, "p": pytest.approx(2 / 3), "never": 1.0},
    }
    assert built(task).remarks() == [  # type: ignore[attr-defined]
        "`class_weights: balanced`: the training split has no example of the label 'never'; its weight is 1"
    ]


def test_balanced_weights_of_several_spellings() -> None:
    for labels in (None, [0, 1]):
        task = SequenceClassification(labels, class_weights="balanced")
        task.adapt([1, 1.0, "1", " 1 ", Counted("0", 4), Counted(0.0, 4), *(["2"] if labels else [])])
        assert task.adapted() == {"labels": ["0", "1"], "class_weights": {"0": 0.75, "1": 1.5}}


def test_balanced_weights_of_tags() -> None:
    task = TokenClassification("bio", class_weights="balanced")
    task.adapt([["O", "B-x", None], None, ["O", "O", "O"]])
    assert task.adapted()["class_weights"] == {"O": pytest.approx(5 / 8), "B-x": 2.5, "I-x": 1.0}


@pytest.mark.parametrize(("positive", "weight"), [(None, 3.0), ("no", 1 / 3)])
def test_balanced_weight_of_the_positive_label(positive: Any, weight: float) -> None:
    task = SequenceClassification(positive=positive, pos_weight="balanced")
    task.adapt(["no", "yes", "no", "no"])
    assert task.adapted() == {"labels": ["no", "yes"], "pos_weight": pytest.approx(weight)}
    logits, targets = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 0, 1])
    margin, truth = logits[:, 1] - logits[:, 0], targets.float()
    if positive == "no":
        margin, truth = -margin, 1 - truth
    expected = binary_cross_entropy_with_logits(margin, truth, pos_weight=torch.tensor(weight))
    assert torch.allclose(built(task).loss(logits, targets), expected)


@pytest.mark.parametrize(
    ("pos_weight", "ordered"), [(4, [4.0] * 3), ({"r": 1, "p": 2, "q": 3}, [2.0, 3.0, 1.0])], ids=["one", "by-label"]
)
def test_pos_weight_of_several_labels(pos_weight: Any, ordered: list[float]) -> None:
    task = built(MultiLabelClassification(LABELS, pos_weight=pos_weight))
    logits, targets = torch.randn(8, 3), torch.randint(2, (8, 3)).float()
    expected = binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor(ordered))
    assert torch.allclose(task.loss(logits, targets), expected)


def test_balanced_pos_weight_of_several_labels() -> None:
    task = MultiLabelClassification(pos_weight="balanced")
    task.adapt(["p,q", None, ["p", "p"], [], ["p", "q"], "p"])
    assert task.adapted() == {"labels": ["p", "q"], "pos_weight": {"p": 0.25, "q": 1.5}}


def test_balanced_pos_weight_of_vectors() -> None:
    task = MultiLabelClassification(pos_weight="balanced")
    task.adapt([[1, 0], Counted([0, 1], 2), [1, None], None, [0, 0]])
    assert task.adapted() == {"labels": ["label_0", "label_1"], "pos_weight": {"label_0": 1.5, "label_1": 1.0}}


@pytest.mark.parametrize(
    "task",
    [
        SequenceClassification(class_weights="balanced", focal_gamma=2.0),
        SequenceClassification(main_metric="f1", class_weights=WEIGHTS, metrics=["mcc"], average_over=["p"]),
        TokenClassification(class_weights="balanced", focal_gamma=0.5, label_smoothing=0.1),
        MultiLabelClassification(pos_weight="balanced", focal_gamma=1.0, metrics=["f1_weighted"]),
    ],
    ids=["balanced", "by name", "tags", "several"],
)
def test_contract(task: Task) -> None:
    raw: list[Any] = ["p", "q", None, "r", "p"]
    if isinstance(task, TokenClassification):
        raw = [["p", "q"], None, ["r", None], ["p", "p"]]
    check_task(task, raw)


def test_binary_contract() -> None:
    check_task(SequenceClassification(pos_weight="balanced", positive="a"), ["a", "b", None, "b", "b"])


# -- focal loss --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss(gamma: float) -> None:
    logits, targets = some()
    task = built(SequenceClassification(LABELS, class_weights=WEIGHTS, focal_gamma=gamma))
    rows = [(row, int(target)) for row, target in zip(logits, targets, strict=True) if target != IGNORE]
    right = [row.softmax(0)[target] for row, target in rows]
    each = [-ORDERED[t] * (1 - p) ** gamma * p.log() for p, (_, t) in zip(right, rows, strict=True)]
    assert torch.allclose(task.loss(logits, targets), torch.stack(each).mean())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_several_labels(gamma: float) -> None:
    task = built(MultiLabelClassification(LABELS, focal_gamma=gamma))
    logits, targets = torch.randn(8, 3), torch.randint(2, (8, 3)).float()
    p = logits.sigmoid()
    right = p * targets + (1 - p) * (1 - targets)  # as torchvision.ops.sigmoid_focal_loss has it, without alpha
    each = binary_cross_entropy_with_logits(logits, targets, reduction="none") * (1 - right) ** gamma
    assert torch.allclose(task.loss(logits, targets), each.mean())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("task", [SequenceClassification, MultiLabelClassification])
def test_focal_loss_of_what_is_certain_has_a_finite_gradient(task: Any, gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    targets = torch.tensor([0, 0]) if task is SequenceClassification else torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    loss = built(task(["a", "b"], focal_gamma=gamma)).loss(logits, targets)
    loss.backward()
    assert logits.grad is not None and logits.grad.isfinite().all() and not logits.grad[0].any()
    assert loss.isfinite() and logits.grad[1].any()


# -- mistakes ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_weights": "balance"}, "must be `balanced` or a weight for each label, found 'balance'"),
        ({"class_weights": {"p": -1}}, "`class_weights` of label 'p' must be a finite number of at least 0, found -1"),
        ({"class_weights": {"p": math.nan}}, "of label 'p' must be a finite number"),
        ({"class_weights": {"p": 0, "q": 0, "r": 0}}, "gives no label a weight above 0"),
        ({"class_weights": {"p": 1, "q": 1}}, "`class_weights` misses 'r'; give each of the 3 labels a weight"),
        ({"class_weights": {"p": 1, "q": 1, "rr": 1}}, "names the unknown label 'rr'; did you mean 'r'"),
        ({"pos_weight": 2}, "`pos_weight` needs two labels, but the task has 3; set `class_weights`"),
        ({"pos_weight": -2}, "`pos_weight` must be a finite number of at least 0, found -2"),
        ({"pos_weight": 2, "class_weights": "balanced"}, "weight the same loss; set one of them"),
        ({"focal_gamma": -1}, "`focal_gamma` must be at least 0 .*found -1"),
        ({"label_smoothing": 1.5}, "`label_smoothing` must lie between 0 and 1, found 1.5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_make_no_sense(arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SequenceClassification(LABELS, **arguments).build(4)


def test_weights_find_other_spellings() -> None:
    task = built(SequenceClassification(["1", "True"], class_weights={"1.0": 5, "true": 2}))
    assert task.label_weights is not None and task.label_weights.tolist() == [5, 2]


def test_numbers_are_names() -> None:
    task = built(SequenceClassification([0, 1], class_weights={1: 5, 0: 1}))
    assert task.adapted()["class_weights"] == {"1": 5, "0": 1}
    logits = torch.randn(1, 2)
    assert torch.allclose(task.loss(logits, torch.tensor([1])), 5 * cross_entropy(logits, torch.tensor([1])))
