"""Heads read what was made of an example's sequences, and what the encoder was given."""

from typing import Any

import torch

from mtl_lightning.encoders import Representation
from mtl_lightning.tasks import SequenceClassification, Task, TokenClassification
from mtl_lightning.training.losses import zero_of
from mtl_lightning.training.reading import read_by_heads

IDS = torch.tensor([[5, 6], [7, 0], [8, 9]])
MADE = Representation(
    pooled=torch.tensor([[1.0, 1], [2, 3], [6, 5]]), tokens=torch.arange(12.0).view(3, 2, 2), mask=IDS > 0
)
SEQUENCES = torch.tensor([[2, 1], [0, -1]])


class Choice(SequenceClassification):
    by_sequence = True


def read(task: Task, **inputs: torch.Tensor) -> Representation:
    return read_by_heads({"t": MADE}, {"t": task}, {"input_ids": IDS, **inputs})["t"]


def test_one_sequence_an_example_is_read_as_it_is() -> None:
    found = read(SequenceClassification())
    assert found._replace(given=None) == MADE
    assert found.given is not None and found.given["input_ids"] is IDS


def test_several_sequences_are_averaged() -> None:
    found = read(SequenceClassification(), sequences=SEQUENCES)
    assert found.pooled is not None and found.pooled.tolist() == [[4, 4], [1, 1]]
    assert found.tokens is None and not TokenClassification().can_read(found)


def test_a_head_may_tell_sequences_apart() -> None:
    found = read(Choice(), sequences=SEQUENCES)
    assert found.pooled is not None and found.tokens is not None and found.mask is not None
    assert found.pooled[:, 0].tolist() == [[6, 5], [1, 1]] and found.pooled[0, 1].tolist() == [2, 3]
    assert torch.equal(found.tokens[0], MADE.tokens[[2, 1]])  # type: ignore[index]
    assert found.mask.tolist() == [[[True, True], [True, False]], [[True, True], [False, False]]]
    assert Choice().can_read(found) and not Choice().can_read(MADE)


def test_a_loss_of_zero_reaches_all_logits_of_a_head() -> None:
    logits: list[Any] = [torch.ones(2, 3, requires_grad=True), torch.ones(2, requires_grad=True)]
    zero = zero_of((logits[0], torch.ones(2, dtype=torch.int64), logits[1]))
    gradients = torch.autograd.grad(zero, logits)
    assert zero == 0 and [g.abs().sum().item() for g in gradients] == [0, 0]
