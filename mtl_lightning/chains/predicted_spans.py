"""A head that reads the spans which an earlier task finds."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.chains.base import Link
from mtl_lightning.errors import UserError
from mtl_lightning.raw_labels.spans import placed
from mtl_lightning.tasks import RelationClassification, Task, TokenClassification


class PredictedSpans(Link):
    """Entities and relations together: the task reads the spans of words that an earlier task finds.

    In training it reads the true spans, which its data set maps to ``spans``; in evaluation and prediction those that
    the earlier task finds. Its metrics then hold a relation for right only if both of its spans were found as they are,
    and for missed if one was not. Spans are no function that a gradient passes: the task does not train the earlier one
    but through the encoder.

    Reference: Zhong and Chen, "A Frustratingly Easy Approach for Entity and Relation Extraction" (NAACL 2021), section
    3, with one encoder for both.

    Helps: where entities are not given when the model is used. Fails: where they are; then the plain task is better.

    Args:
        after: The earlier task, a ``TokenClassification`` with ``scheme: bio``.
    """

    def __init__(self, after: str) -> None:
        super().__init__(after, detach=True)
        self._finder: tuple[Task, ...] = ()  # in a tuple: it is no part of the link

    def build(self, name: str, tasks: Mapping[str, Task]) -> None:
        (after,) = self.after
        finder, reader = tasks[after], tasks[name]
        if not (isinstance(finder, TokenClassification) and finder.scheme == "bio"):
            raise UserError(f"'{after}' finds no spans; it must be a TokenClassification with `scheme: bio`")
        if not isinstance(reader, RelationClassification):
            raise UserError(f"{type(reader).__name__} reads no spans, as RelationClassification does")
        if reader.pairs != "all":
            raise UserError("which pairs are related is not known of predicted spans; set `pairs: all` for the task")
        self._finder = (finder,)

    @property
    def finds(self) -> Mapping[str, str]:
        return {"spans": self.after[0]}

    def can_read(self, task: Task, features: Any) -> bool:
        return features.tokens is not None

    def read(self, features: Any, earlier: Mapping[str, Tensor]) -> Any:
        if self.training or self.is_given:
            return features
        found = self._finder[0].decode(earlier[self.after[0]], features.mask)
        spans = _as_tensor([row["spans"] for row in found]).to(features.tokens.device)
        return features._replace(given={**(features.given or {}), "spans": spans})


def _as_tensor(found: Sequence[Sequence[Mapping[str, Any]]]) -> Tensor:
    """Start, end and kind of each span [B, S, 3], filled up with -1."""
    rows = [placed(spans) for spans in found]
    most = max(map(len, rows), default=0)
    filled = [row + [[-1] * 3] * (most - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.int64).view(len(rows), most, 3)
