"""How well texts that were written agree with references."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.text import rouge_score
from torchmetrics.text import SacreBLEUScore


class MeanOfTexts(Metric):
    """Mean over examples of a score of two texts.

    Args:
        score: Of what was written and a reference, in [0, 1].
    """

    full_state_update = False
    higher_is_better = True
    total: Tensor
    number: Tensor

    def __init__(self, score: Callable[[str, str], float]) -> None:
        super().__init__()
        self.score = score
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("number", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, written: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Takes some texts and the references of each, of which the one counts that is most like it."""
        for text, those in zip(written, references, strict=True):
            self.total += max(self.score(text, each) for each in those)
        self.number += len(written)

    def compute(self) -> Tensor:
        """A scalar; NaN where there was no text."""
        return (self.total / self.number).float()


def exact_match(written: str, reference: str) -> float:
    """Whether two texts are the same but for white space around them."""
    return float(written.strip() == reference.strip())


def rouge_l(written: str, reference: str) -> float:
    """F1 by the longest common subsequence of words.

    >>> round(rouge_l("the cat sat", "the old cat sat"), 3)
    0.857
    """
    return float(rouge_score(written, reference, rouge_keys="rougeL")["rougeL_fmeasure"])


TEXT_METRICS: Mapping[str, Callable[[], Metric]] = {
    "exact_match": partial(MeanOfTexts, exact_match),
    "bleu": SacreBLEUScore,
    "rouge_l": partial(MeanOfTexts, rouge_l),
}
"""What makes each metric of written texts, by name; BLEU-4 is that of all texts together, as ``sacrebleu`` has it."""
