"""Spans of words as BIO tags: ``O`` outside, ``B-x`` at the first word of a span of type x, ``I-x`` at the others."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import no_label

OUTSIDE = "O"


def check_bio(tags: Iterable[str]) -> None:
    """Raises :class:`UserError` for a tag that is none."""
    for tag in tags:
        if tag != OUTSIDE and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
            remedy = f"fix it, or set `scheme: tags`{no_label([tag])}"
            raise UserError(f"tag {shown(tag)} is not BIO ('O', 'B-x' or 'I-x'); {remedy}")


def span_types(tags: Sequence[str]) -> list[str]:
    """Names of the span types among BIO tags, sorted.

    >>> span_types(["O", "B-x", "I-x", "B-a"])
    ['a', 'x']
    """
    return sorted({tag[2:] for tag in tags if tag != OUTSIDE})


def bio_tags(types: Iterable[str]) -> list[str]:
    """All tags of some types of spans.

    >>> bio_tags(["a"])
    ['O', 'B-a', 'I-a']
    """
    return [OUTSIDE, *(f"{prefix}-{name}" for name in types for prefix in "BI")]


def follows(before: str, tag: str) -> bool:
    """Whether a tag may follow another: ``I-x`` follows ``B-x`` and ``I-x`` alone.

    >>> follows("B-x", "I-x"), follows("B-y", "I-x"), follows("O", "B-x")
    (True, False, True)
    """
    return not tag.startswith("I-") or (before != OUTSIDE and before[2:] == tag[2:])


def forbidden_steps(tags: Sequence[str]) -> Tensor:
    """True where tag j must not follow tag i [C + 1, C + 1]; the last row is the start, the last column the end.

    An ``I-x`` without a ``B-x`` among the tags may begin a span.
    """
    free = [not tag.startswith("I-") or f"B-{tag[2:]}" not in tags for tag in tags]
    rows = [[not (may or follows(before, tag)) for tag, may in zip(tags, free, strict=True)] for before in [*tags, "O"]]
    return torch.tensor([[*row, False] for row in rows])


def begins(tags: Sequence[str]) -> list[int]:
    """For each tag the position of the one that begins such a span: of ``B-x`` for ``I-x``, else its own.

    >>> begins(["O", "B-x", "I-x", "I-y"])
    [0, 1, 1, 3]
    """
    places = {tag: place for place, tag in enumerate(tags)}
    return [places.get(f"B-{tag[2:]}", place) if tag[:2] == "I-" else place for place, tag in enumerate(tags)]


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
