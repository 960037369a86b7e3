"""Metrics of written texts as a user brings them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class NotReversed(Metric):
    """The part of the prompts' letters that are not written in the opposite order; 0 is best."""

    higher_is_better = False
    full_state_update = False
    letters: Tensor
    wrong: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("letters", "wrong"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, written: Sequence[str], references: Sequence[Sequence[str]], prompts: Sequence[str]) -> None:
        assert len(written) == len(references) == len(prompts)
        for text, prompt in zip(written, prompts, strict=True):
            self.letters += len(prompt)
            self.wrong += sum(a != b for a, b in zip(text.ljust(len(prompt)), prompt[::-1], strict=False))

    def compute(self) -> Tensor:
        return self.wrong / self.letters


def same_length(text: str, reference: str) -> float:
    """Whether both have as many letters."""
    return float(len(text) == len(reference))


def says_more(text: str, reference: str, prompt: str) -> float:
    """By how many letters a text is longer than the prompt."""
    return len(text) - len(prompt)
