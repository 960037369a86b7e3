"""How well texts that were written agree with references."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torchmetrics import Metric
from torchmetrics.functional.text import rouge_score
from torchmetrics.text import SacreBLEUScore

from mtl_lightning.tasks.means import MeanScore


class MeanOfTexts(MeanScore):
    """Mean over examples of a score of two texts.

    Args:
        score: Of what was written, or answered, and a reference, in [0, 1].
    """

    def __init__(self, score: Callable[[str, str], float]) -> None:
        super().__init__()
        self.score = score

    def update(self, written: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Takes some texts and the references of each, of which the one counts that is most like it."""
        pairs = zip(written, references, strict=True)
        self.add(sum(max(self.score(text, each) for each in those) for text, those in pairs), len(written))


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
