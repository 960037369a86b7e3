"""Losses to what a teacher predicts: closed forms of values and gradients, and how outputs of others are read."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.tasks import (
    CausalLM,
    DependencyParsing,
    MultiLabelClassification,
    MultipleChoice,
    Ranking,
    Regression,
    RelationClassification,
    Seq2Seq,
    SequenceClassification,
    SimilarityRegression,
    SpanQuestionAnswering,
    TokenClassification,
    TokenMultiLabelClassification,
)
from mtl_lightning.tasks.answer_scorer import AnswerLogits

MASK = torch.tensor([[True, True, False], [True, False, False]])
ABC = ["a", "b", "c"]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(task: Any, logits: Tensor, taught: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
    leaf = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(task.soft_loss(leaf, taught, mask, temperature), leaf)
    return found


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_gradient_of_classification_is_that_of_hinton(temperature: float) -> None:
    """T² · (1 / T) (p - q) / B, section 2 of the paper."""
    logits, taught = random(5, 3), random(5, 3, seed=1)
    expected = temperature * ((logits / temperature).softmax(1) - (taught / temperature).softmax(1)) / 5
    torch.testing.assert_close(gradient(SequenceClassification(ABC), logits, taught, None, temperature), expected)


def test_at_a_high_temperature_it_matches_the_logits() -> None:
    """Eq. 4: (z - v) / (B C) for logits of zero mean."""
    logits, taught = (x - x.mean(1, keepdim=True) for x in (random(5, 3), random(5, 3, seed=1)))
    found = gradient(SequenceClassification(ABC), logits, taught, None, 1e3)
    torch.testing.assert_close(found, (logits - taught) / 15, rtol=0, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_words_that_are_there_count_alike(temperature: float) -> None:
    logits, taught = random(2, 3, 3), random(2, 3, 3, seed=1)
    found = gradient(TokenClassification(labels=ABC), logits, taught, MASK, temperature)
    expected = temperature * ((logits / temperature).softmax(2) - (taught / temperature).softmax(2)) / 3
    torch.testing.assert_close(found, expected * MASK.unsqueeze(2))


@pytest.mark.parametrize(
    ("task", "mask", "places"),
    [(MultiLabelClassification(ABC), None, 18), (TokenMultiLabelClassification(ABC), MASK, 9)],
    ids=["examples", "words"],
)
def test_each_label_has_two_outcomes(task: Any, mask: Tensor | None, places: int) -> None:
    logits, taught = random(2, 3, 3), random(2, 3, 3, seed=1)
    expected = 3 * ((logits / 3).sigmoid() - (taught / 3).sigmoid()) / places
    expected = expected if mask is None else expected * mask.unsqueeze(2)
    torch.testing.assert_close(gradient(task, logits, taught, mask, 3.0), expected)


def test_numbers_have_a_squared_error_in_the_student_s_unit() -> None:
    student, teacher = Regression(mean=10.0, std=2.0), SimilarityRegression(mean=4.0, std=5.0)
    taught = student.read_teacher(teacher)(random(5, 1))
    torch.testing.assert_close(taught * 2 + 10, random(5, 1) * 5 + 4)
    logits = random(5, 1, seed=1)
    torch.testing.assert_close(gradient(student, logits, taught, None, 7.0), 2 * (logits - taught) / 5)


@pytest.mark.parametrize("task", [MultipleChoice(), Ranking()], ids=["choice", "ranking"])
def test_sequences_that_are_not_there_have_no_gradient(task: Any) -> None:
    logits, taught = random(2, 3), random(2, 3, seed=1)
    logits[0, 2] = taught[0, 2] = -torch.inf
    found = gradient(task, logits, taught, None, 2.0)
    torch.testing.assert_close(found, 2 * ((logits / 2).softmax(1) - (taught / 2).softmax(1)) / 2)
    assert found[0, 2] == 0 and task.num_places([1.0, 0.0]) == 1


def test_answers_are_compared_by_where_they_start_and_end() -> None:
    def logits(seed: int) -> AnswerLogits:
        starts, ends = random(2, 1, 3, seed=seed), random(2, 1, 3, seed=seed + 1)
        starts[0, 0, 2] = ends[0, 0, 2] = torch.finfo(torch.float64).min
        return AnswerLogits(starts, ends, random(2, seed=seed + 2), *[torch.zeros(())] * 3)

    ours, theirs = logits(0), logits(5)
    sides = []
    for side in (0, 1):
        p, q = (torch.cat([each[side][:, 0], each.none[:, None]], 1).softmax(1) for each in (ours, theirs))
        sides.append((q * (q.log() - p.log())).nan_to_num().sum(1).mean())
    torch.testing.assert_close(SpanQuestionAnswering().soft_loss(ours, theirs, None, 1.0), sum(sides) / 2)


@pytest.mark.parametrize(
    "task", [SequenceClassification(ABC), MultiLabelClassification(ABC), Regression(), MultipleChoice()]
)
def test_nothing_is_to_be_learnt_from_oneself(task: Any) -> None:
    logits = random(4, 1 if isinstance(task, Regression) else 3).float() * 1e3
    assert task.soft_loss(logits, logits.half().float(), None, 1.0).isfinite()
    assert float(task.soft_loss(logits, logits, None, 1.0)) == 0


def test_half_precision_is_not_that_of_the_loss() -> None:
    logits = random(4, 3).half()
    assert SequenceClassification(ABC).soft_loss(logits, logits, None, 2.0).dtype == torch.float32


# -- outputs of a teacher ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [SequenceClassification, MultiLabelClassification])
def test_labels_are_found_by_name(kind: Any) -> None:
    read = kind(ABC).read_teacher(kind(["c", "a", "b"]))
    assert read(torch.tensor([[30.0, 10.0, 20.0]])).tolist() == [[10.0, 20.0, 30.0]]


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (SequenceClassification(ABC), SequenceClassification(["a", "b"]), r"does not know the label 'c'"),
        (SequenceClassification(["a", "b"]), SequenceClassification(ABC), r"knows the label 'c' too; name its labels"),
        (SequenceClassification(ABC), Regression(0.0, 1.0), r"is a Regression, not a SequenceClassification"),
        (TokenMultiLabelClassification(ABC), MultiLabelClassification(ABC), r"is a MultiLabelClassification, not a T"),
        (TokenClassification(labels=ABC, decoding="crf"), TokenClassification(labels=ABC), r"has no soft loss"),
        (
            TokenClassification(labels=ABC),
            TokenClassification(labels=ABC, decoding="crf"),
            r"has no probabilities of si",
        ),
        (DependencyParsing(ABC), DependencyParsing(ABC), r"DependencyParsing has no soft loss"),
        (RelationClassification(ABC), RelationClassification(ABC), r"RelationClassification has no soft loss"),
        (CausalLM(), CausalLM(), r"CausalLM has no soft loss"),
        (Seq2Seq(), Seq2Seq(), r"Seq2Seq has no soft loss"),
        (MultipleChoice(), Ranking(), r"is a Ranking, not a MultipleChoice"),
    ],
)
def test_teachers_of_something_else_are_refused(student: Any, teacher: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        student.read_teacher(teacher)


def test_labels_count_as_places_whether_they_are_missing_or_not() -> None:
    assert SequenceClassification(ABC).num_places(-100) == 1
    assert TokenClassification(labels=ABC).num_places([-100, 1]) == 2
    assert TokenMultiLabelClassification(ABC).num_places([[1.0, 0.0, float("nan")]] * 2) == 6
