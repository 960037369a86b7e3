"""How well texts that were written agree with references."""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

from torchmetrics import Metric
from torchmetrics.functional.text import rouge_score

from mtl_lightning.errors import UserError
from mtl_lightning.tasks.corpus_bleu import CorpusBleu
from mtl_lightning.tasks.means import MeanScore

_WITHOUT_BLANKS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
"""Thai, Lao, Burmese, Khmer, kana and Chinese characters."""

_WORD = re.compile(f"[{_WITHOUT_BLANKS}]|[^\\s{_WITHOUT_BLANKS}]+")

TextScore = Callable[..., float]
"""A score of a text and a reference; of the prompt too, where it has a third parameter ``prompt``."""


class MeanOfTexts(MeanScore):
    """Mean over examples of a score of two texts.

    Args:
        score: Of what was written, or answered, and a reference; higher is better.
    """

    higher_is_better = True

    def __init__(self, score: TextScore) -> None:
        super().__init__()
        self.score = score
        self._reads_prompts = "prompt" in signature(score).parameters

    def update(
        self, written: Sequence[str], references: Sequence[Sequence[str]], prompts: Sequence[str] | None = None
    ) -> None:
        """Takes some texts, the references of each, of which the one counts that gives the best score, and prompts."""
        more = [{"prompt": prompt} for prompt in prompts or ()] if self._reads_prompts else [{}] * len(written)
        rows = zip(written, references, more, strict=True)
        self.add(
            sum(max(self.score(text, each, **given) for each in those) for text, those, given in rows), len(written)
        )


def exact_match(written: str, reference: str) -> float:
    """Whether two texts are the same but for white space around them."""
    return float(written.strip() == reference.strip())


def rouge_l(written: str, reference: str) -> float:
    """F1 by the longest common subsequence of words, in lower case and without punctuation.

    In scripts without blanks, such as Chinese, each character is a word. ROUGE's own script knows ASCII alone.

    >>> round(rouge_l("the cat sat", "the old cat sat"), 3), round(rouge_l("你好!", "你们好。"), 3)
    (0.857, 0.8)
    """
    found = rouge_score(written, reference, normalizer=_plain, tokenizer=_WORD.findall, rouge_keys="rougeL")
    return float(found["rougeL_fmeasure"])


def _plain(text: str) -> str:
    """A text in lower case, of letters with their marks and numbers alone."""
    return "".join(each if unicodedata.category(each)[0] in "LMN" else " " for each in text.lower())


TEXT_METRICS: Mapping[str, Callable[[], Metric]] = {
    "exact_match": partial(MeanOfTexts, exact_match),
    "bleu": CorpusBleu,
    "bleu_zh": partial(CorpusBleu, "zh"),
    "bleu_char": partial(CorpusBleu, "char"),
    "rouge_l": partial(MeanOfTexts, rouge_l),
}
"""What makes each metric of written texts, by name; BLEU-4 is that of all texts together, as ``sacrebleu`` has it."""


def named(own: Sequence[TextScore | Metric], taken: Collection[str]) -> dict[str, Metric]:
    """Metrics of a user's own by the names that they have in the log: ``SlotError`` is ``slot_error``.

    Args:
        own: Metrics that are updated with written texts, lists of references and, if there is a parameter of that
            name, ``prompts``; functions, whose mean is reported, see :class:`MeanOfTexts`.
        taken: Names that others have.

    Raises:
        UserError: If two have one name.
    """
    found: dict[str, Metric] = {}
    for each in own:
        metric = each if isinstance(each, Metric) else MeanOfTexts(each)
        name = _snake_case(type(each).__name__ if isinstance(each, Metric) else _name(each))
        if name in found or name in taken:
            raise UserError(f"`own_metrics`: two metrics are called '{name}'; give a class or function another name")
        found[name] = metric
    return found


def feed(metric: Metric, written: Sequence[str], references: Sequence[Sequence[str]], prompts: Sequence[str]) -> None:
    """Updates a metric of texts, with the prompts if it asks for them."""
    more = {"prompts": prompts} if "prompts" in signature(metric.update).parameters else {}
    metric.update(written, references, **more)


def _name(score: Any) -> str:
    return str(getattr(score, "__name__", type(score).__name__))


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
