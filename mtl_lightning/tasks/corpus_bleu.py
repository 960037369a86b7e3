"""BLEU of all texts together, with the numbers of sacrebleu."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.text import SacreBLEUScore


class CorpusBleu(SacreBLEUScore):
    """BLEU-4 of all texts together, in [0, 1]; NaN where there are none.

    torchmetrics counts the n-grams. What ``sacrebleu`` does besides by default is done here: of several references that
    are as close in length the shortest counts, and where no n-gram of some length is right, its precision is smoothed.

    Args:
        tokenize: How texts are cut into tokens, by sacrebleu's names: ``13a`` at blanks and punctuation, ``zh`` also
            between Chinese characters, ``char`` everywhere.

    Reference: B. Chen & C. Cherry, A systematic comparison of smoothing techniques for sentence-level BLEU, WMT 2014,
    smoothing 3.

    >>> bleu = CorpusBleu()
    >>> bleu.update(["the cat sat down"], [["the cat sat there"]])
    >>> round(bleu.compute().item(), 4)
    0.5946
    """

    texts: Tensor

    def __init__(self, tokenize: Any = "13a") -> None:
        super().__init__(tokenize=tokenize)
        self.add_state("texts", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Sequence[str], target: Sequence[Sequence[str]]) -> None:
        """Takes some texts, and the references of each."""
        self.texts += len(preds)
        super().update(preds, [sorted(each, key=self._length) if len(each) > 1 else each for each in target])

    def _length(self, text: str) -> int:
        return len(self.tokenizer(text))

    def compute(self) -> Tensor:
        """The score, a scalar."""
        right, number = self.numerator.cpu().double(), self.denominator.cpu().double()
        if not self.texts:
            return torch.full_like(self.preds_len, torch.nan)
        if not right.any() or not number.all():
            return torch.zeros_like(self.preds_len)
        none = torch.eq(right, 0)
        precisions = torch.where(none, 0.5 ** none.cumsum(0), right) / number
        brevity = (1 - self.target_len / self.preds_len).clamp(max=0).cpu().double()
        return (brevity + precisions.log().mean()).exp().to(self.preds_len)
