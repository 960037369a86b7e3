"""Entity-level precision, recall and F1 over BIO tags, as sums that several processes can add."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from mtl_lightning.tasks.bio import span_types
from mtl_lightning.tasks.label_counts import Counts
from mtl_lightning.tasks.label_scores import AVERAGES, Average, averaged
from mtl_lightning.tasks.scoring import Catalogue

SPAN_RATIOS = ("f1", "precision", "recall")


class Spans(tuple[Tensor, Tensor, Tensor]):
    """Where spans start [B, L] (bool), where the span that starts there ends [B, L], and types [B, L] (-1: outside)."""


class SpanCounts(Metric):
    """True positives, false positives and false negatives of spans, for each type.

    A span counts as found if its start, end and type agree. As in conlleval and seqeval (default mode), an ``I-x`` that
    follows no span of type x starts one.

    Args:
        tags: Names of the tags, ``O``, ``B-x`` and ``I-x``, in the order of their indices.

    Attributes:
        types: Names of the span types, sorted; C is their number.
        true_positives: Counts [C], summed over processes; so are ``false_positives`` and ``false_negatives``.

    >>> counts = SpanCounts(["O", "B-x", "I-x"])
    >>> counts.update(torch.tensor([[1, 2, 0, 1]]), torch.tensor([[1, 2, 0, 0]]))
    >>> counts.compute().tolist()
    [[1], [1], [0]]
    """

    full_state_update = False
    type_of_tag: Tensor
    is_begin: Tensor
    true_positives: Tensor
    false_positives: Tensor
    false_negatives: Tensor

    def __init__(self, tags: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.types = span_types(tags)
        self.register_buffer("type_of_tag", _types_of_tags(tags, self.types), persistent=False)
        self.register_buffer("is_begin", torch.tensor([tag.startswith("B-") for tag in tags]), persistent=False)
        for name in ("true_positives", "false_positives", "false_negatives"):
            self.add_state(name, torch.zeros(len(self.types), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Counts the spans of a batch.

        Args:
            predictions: Tag indices [B, L].
            targets: Tag indices [B, L]; negative where there is no label. Predictions there are not read.
        """
        present = targets >= 0
        found, wanted = self._spans(predictions, present), self._spans(targets, present)
        same = found[0] & wanted[0] & (found[1] == wanted[1]) & (found[2] == wanted[2])
        hits = self._count(same, wanted[2])
        self.true_positives += hits
        self.false_positives += self._count(found[0], found[2]) - hits
        self.false_negatives += self._count(wanted[0], wanted[2]) - hits

    def compute(self) -> Tensor:
        """The three counts [3, C]; one tensor, for torchmetrics makes a scalar of a tensor with a single element."""
        return torch.stack([self.true_positives, self.false_positives, self.false_negatives])

    def _spans(self, tags: Tensor, present: Tensor) -> Spans:
        safe = torch.where(present, tags, 0)
        types = torch.where(present, self.type_of_tag[safe], -1)
        inside = types >= 0
        before = torch.nn.functional.pad(types[:, :-1], (1, 0), value=-1)
        starts = inside & (self.is_begin[safe] | (types != before))
        goes_on = torch.nn.functional.pad(inside[:, 1:] & ~starts[:, 1:], (0, 1), value=False)
        length = tags.shape[1]
        last = torch.where(inside & ~goes_on, torch.arange(length, device=tags.device), length)
        ends = last.flip(1).cummin(1).values.flip(1)
        return Spans((starts, ends, types))

    def _count(self, chosen: Tensor, types: Tensor) -> Tensor:
        slots = torch.where(chosen, types, len(self.types)).flatten()
        return torch.bincount(slots, minlength=len(self.types) + 1)[:-1]


class SpanScore(SpanCounts):
    """F1, precision or recall of spans.

    Args:
        tags: See :class:`SpanCounts`.
        score: Which of the three to compute.
        average: Over the types of spans; see :func:`averaged`.
        over: Positions of the types to average over; null: all.
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(
        self,
        tags: Sequence[str],
        score: str = "f1",
        average: Average = "micro",
        over: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tags, **kwargs)
        self.score = score
        self.average = average
        self.over = over

    def compute(self) -> Tensor:
        """The score, a scalar in [0, 1]; 0 where nothing was found or there was nothing to find."""
        hits, spurious, missed = super().compute().double()
        counts = Counts(hits, hits + spurious, hits + missed, torch.full_like(hits, torch.nan))
        return averaged(counts, self.score, self.average, self.over).float()


def span_metrics(tags: Sequence[str], average: Average, over: Sequence[int] | None) -> Catalogue:
    """What makes each metric of spans: by its plain name, and by each average; arguments as in :class:`SpanScore`."""
    plain = {name: partial(SpanScore, tags, name, average, over) for name in SPAN_RATIOS}
    averages = {f"{name}_{how}": partial(SpanScore, tags, name, how, over) for name in SPAN_RATIOS for how in AVERAGES}
    return {**plain, **averages}


def _types_of_tags(tags: Sequence[str], types: Sequence[str]) -> Tensor:
    index = {name: i for i, name in enumerate(types)}
    return torch.tensor([-1 if tag == "O" else index[tag[2:]] for tag in tags])
