"""The official scores of RNNLG: BLEU-4 over a corpus, and the slot error rate."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from sacrebleu.metrics.bleu import BLEU
from torch import Tensor
from torchmetrics import Metric

from experiments.generation.acts import SPECIAL, Act, parsed
from experiments.generation.texts import by_features, delexicalised, lexicalised, mark, normalised

WORDS = {
    "kidsallowed": ("child", "kid", "kids", "children"),
    "dogsallowed": ("dog", "dogs", "puppy"),
    "hasinternet": ("internet", "wifi"),
    "acceptscreditcards": ("card", "cards"),
    "isforbusinesscomputing": ("business", "nonbusiness", "home", "personal", "general"),
    "hasusbport": ("usb",),
}
"""Slots that are true or false, and the words that say something of them."""
NOT_COUNTED = {"type", "processor"}
"""Slots that the data's scorer does not look at."""
NOT_SCORED = {"?select", "suggest"}
"""Acts whose slots may be said more than once."""


class Scores(NamedTuple):
    """Of a domain, in percent but for the last.

    Attributes:
        bleu: BLEU-4; references are the texts of all acts that differ in values alone, with this act's values.
        bleu_without_values: The same on delexicalised texts.
        slot_error: Missing and redundant slots, relative to slots.
        texts: Their number.
    """

    bleu: float
    bleu_without_values: float
    slot_error: float
    texts: int


def slot_errors(act: Act, text: str) -> tuple[int, int]:
    """How many slots an act has, and how many of them a delexicalised text lacks or says too often.

    Slots that are true or false are found by words that speak of them, whatever they say. Where a slot is asked for, or
    its value is said to be none or not to matter, nothing is counted.

    >>> slot_errors(parsed("inform(name=a 1;food=thai;kidsallowed=yes)"), "SLOT_NAME and SLOT_NAME serve SLOT_FOOD")
    (3, 2)
    """
    if act.name in NOT_SCORED:
        return 0, 0
    words = Counter(text.split())
    told = {slot: words[mark(slot)] for slot in (word[5:].lower() for word in words if word.startswith("SLOT_"))}
    told |= {slot: sum(words[word] for word in about) for slot, about in WORDS.items()}
    wanted = Counter(slot for slot, value in act.slots if (slot in WORDS and value != "?") or value not in SPECIAL)
    slots = (told.keys() | wanted.keys()) - NOT_COUNTED
    return sum(wanted[slot] for slot in slots), sum(abs(wanted[slot] - told.get(slot, 0)) for slot in slots)


class SlotError(Metric):
    """Missing and redundant slots in what is written for meaning representations, relative to all slots.

    It is a metric for ``own_metrics`` of a :class:`mtl_lightning.tasks.CausalLM` whose prompts are the representations.
    """

    higher_is_better = False
    full_state_update = False
    slots: Tensor
    errors: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("slots", "errors"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, written: Sequence[str], references: Sequence[Sequence[str]], prompts: Sequence[str]) -> None:
        """Counts the slots of some texts; references are not looked at."""
        for text, act in zip(written, map(parsed, prompts), strict=True):
            slots, errors = slot_errors(act, delexicalised(normalised(text), act))
            self.slots += slots
            self.errors += errors

    def compute(self) -> Tensor:
        """A scalar; 0 where no representation has a slot."""
        return self.errors / self.slots.clamp(min=1)


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4 in percent of texts that are split at blanks already, each with any number of references."""
    scorer = BLEU(tokenize="none", smooth_method="none", force=True)
    return float(scorer.corpus_score(texts, list(zip_longest(*references))).score)


def scores(written: Sequence[tuple[str, Sequence[str]]], truth: Sequence[tuple[str, str]]) -> Scores:
    """Scores of a domain.

    Args:
        written: A meaning representation and what is written for it, of each example of the test split.
        truth: The test split: meaning representations with people's texts.
    """
    alike = by_features(truth)
    plain, without, of_plain, of_without, slots, errors = [], [], [], [], 0, 0
    for mr, texts in written:
        act = parsed(mr)
        for text in map(normalised, texts):
            bare = delexicalised(text, act)
            plain.append(text)
            of_plain.append([lexicalised(other, act) for other in alike[act.features]])
            without.append(bare)
            of_without.append(alike[act.features])
            of_text, wrong = slot_errors(act, bare)
            slots, errors = slots + of_text, errors + wrong
    rate = 100 * errors / slots if slots else 0.0
    return Scores(bleu(plain, of_plain), bleu(without, of_without), rate, len(plain))
