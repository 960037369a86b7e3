"""How well answers agree with the right ones, as SQuAD's script counts it."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class AnswerScore(Metric):
    """Mean over questions of how well the answer agrees with the right one that is most like it.

    Args:
        score: Of two answers, such as :func:`exact_match` and :func:`token_f1`.
    """

    full_state_update = False
    higher_is_better = True
    total: Tensor
    number: Tensor

    def __init__(self, score: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.score = score
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("number", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, answers: Sequence[str], right: Sequence[Sequence[str]]) -> None:
        """Counts some questions.

        Args:
            answers: One a question; an empty one says that there is none.
            right: The right ones of each, at least one.
        """
        for answer, those in zip(answers, right, strict=True):
            self.total += max(self.score(answer, each) for each in those)
            self.number += 1

    def compute(self) -> Tensor:
        """The mean, in [0, 1]."""
        return (self.total / self.number.clamp(min=1)).float()


def exact_match(answer: str, right: str) -> float:
    """Whether two answers are the same but for case, punctuation, articles and white space.

    >>> exact_match("The  cat.", "cat")
    1.0
    """
    return float(_plain(answer) == _plain(right))


def token_f1(answer: str, right: str) -> float:
    """F1 of the words of two answers, case, punctuation and articles aside; 1 if both have none, 0 if one has.

    >>> token_f1("the old cat", "a cat")
    0.6666666666666666
    """
    found, wanted = _plain(answer).split(), _plain(right).split()
    if not (found and wanted):
        return float(found == wanted)
    same = (Counter(found) & Counter(wanted)).total()
    return 2 * same / (len(found) + len(wanted))


def _plain(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())
