"""Every task's metric of predictions, and how they are compared with the labels of a file."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_lightning.decoding.spans import spans_of

Labels = Mapping[str, Sequence[Any]]


def score(labels: Labels, predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """In percent, by task: the accuracy of a label of each sentence, the F1 of spans that tags of its words make.

    Args:
        labels: By task, a label of each sentence or tags of its words.
        predictions: As ``predict`` gives them.
    """
    return {
        task: _accuracy(truth, [row[task]["label"] for row in predictions])
        if isinstance(truth[0], str)
        else _span_f1(truth, [row[task]["spans"] for row in predictions])
        for task, truth in labels.items()
    }


def _accuracy(truth: Sequence[str], found: Sequence[str]) -> float:
    return 100 * sum(a == b for a, b in zip(truth, found, strict=True)) / len(truth)


def _span_f1(truth: Sequence[Sequence[str]], found: Sequence[Sequence[Mapping[str, Any]]]) -> float:
    wanted = [_places(spans_of(tags, [1.0] * len(tags))) for tags in truth]
    given = [_places(spans) for spans in found]
    right = sum(len(a & b) for a, b in zip(wanted, given, strict=True))
    return 200 * right / max(sum(map(len, wanted)) + sum(map(len, given)), 1)


def _places(spans: Sequence[Mapping[str, Any]]) -> set[tuple[str, int, int]]:
    return {(span["label"], span["start_word"], span["end_word"]) for span in spans}
