"""Spans of words as BIO tags: ``O`` outside, ``B-x`` at the first word of a span of type x, ``I-x`` at the others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mtl_lightning.decoding.spans import OUTSIDE
from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import no_label


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


def irregular(tags: Iterable[str | None]) -> int:
    """How many tags ``I-x`` follow another tag than one of type x.

    Args:
        tags: One a word, null where it is not known.

    >>> irregular(["I-x", "I-x", None, "I-x", "O", "I-x"])
    2
    """
    pairs = pairwise([OUTSIDE, *tags])
    return sum(not follows(before, tag) for before, tag in pairs if before is not None and tag is not None)


def by_tag(weights: Mapping[str | int, float], tags: Sequence[str]) -> dict[str | int, float]:
    """Weights of tags, from those of tags and of types of spans.

    >>> by_tag({"O": 0.5, "x": 2}, ["O", "B-x", "I-x"])
    {'O': 0.5, 'B-x': 2, 'I-x': 2}
    """
    types = span_types(tags)
    meant = {name: [f"B-{name}", f"I-{name}"] if name in types else [name] for name in weights}
    return {tag: weight for name, weight in weights.items() for tag in meant[name]}


def renamed(tag: str, rename: Callable[[str], str]) -> str:
    """A tag whose type of span is renamed; ``O`` where it is renamed to that.

    >>> renamed("B-x", str.upper), renamed("O", str.lower)
    ('B-X', 'O')
    """
    name = tag if tag == OUTSIDE else rename(tag[2:])
    return name if name == OUTSIDE else f"{tag[:2]}{name}"
