"""Spans of words, from BIO tags."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

OUTSIDE = "O"
"""The tag of words that are in no span; ``B-x`` is that of the first word of a span of type x, ``I-x`` of others."""


def spans_of(tags: Sequence[str], probabilities: Sequence[float]) -> list[dict[str, Any]]:
    """Spans of words, end exclusive; an ``I-x`` that follows no tag of type x starts one, as in conlleval.

    Args:
        tags: One a word.
        probabilities: Of the tags; the mean over its words is the score of a span.
    """
    spans: list[dict[str, Any]] = []
    previous = OUTSIDE
    for position, tag in enumerate(tags):
        if tag != OUTSIDE:
            if tag.startswith("B-") or previous[2:] != tag[2:]:
                spans.append({"label": tag[2:], "start": position})
            spans[-1]["end"] = position + 1
        previous = tag
    for span in spans:
        first, last = span["start"], span["end"]
        span.update(score=fmean(probabilities[first:last]), start_word=first, end_word=last)
    return spans
