"""Nearest neighbours: the texts of the most similar act of the training and validation splits, with other values."""

import random
from collections.abc import Mapping, Sequence
from functools import cache
from math import sqrt

from experiments.generation.acts import Features, parsed
from experiments.generation.texts import by_features, lexicalised


def neighbours(known: Sequence[tuple[str, str]], asked: Sequence[str], number: int = 5) -> list[tuple[str, list[str]]]:
    """Texts for meaning representations, as the baseline of Wen et al. finds them.

    Args:
        known: Meaning representations with people's texts.
        asked: Meaning representations.
        number: How many texts each gets at most; they are drawn from those of the most similar act.
    """
    texts = by_features(known)
    acts = {features: set(features) for features in texts}
    nearest = cache(lambda features: texts[_nearest(features, acts)])
    draw = random.Random(1)
    found = []
    for act in map(parsed, asked):
        candidates = nearest(act.features)
        drawn = draw.sample(candidates, min(number, len(candidates)))
        found.append([lexicalised(text, act) for text in drawn])
    return list(zip(asked, found, strict=True))


def _nearest(features: Features, known: Mapping[Features, set[tuple[str, str]]]) -> Features:
    """By the cosine of the angle between acts and slots, each counted once."""
    mine = set(features)
    return max(known, key=lambda other: len(mine & known[other]) / sqrt(len(known[other]) * len(mine)))
