"""A dependency tree over the words of a sentence."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from mtl_lightning.decoding import Decoder, TreeDecoder
from mtl_lightning.decoding.trees import best_trees
from mtl_lightning.errors import UserError, shown
from mtl_lightning.raw_labels import Missing
from mtl_lightning.tasks.attachment import AttachmentScore, RelationCounts, universal
from mtl_lightning.tasks.base import IGNORE, full_precision
from mtl_lightning.tasks.biaffine import Arcs, BiaffineHead
from mtl_lightning.tasks.contracts import Features
from mtl_lightning.tasks.decoded import as_array
from mtl_lightning.tasks.label_names import name_of
from mtl_lightning.tasks.labelled import LabelledTask, fill_missing
from mtl_lightning.tasks.lists import items_of
from mtl_lightning.tasks.losses import mean_cross_entropy
from mtl_lightning.tasks.scoring import Catalogue, Scoring, choose
from mtl_lightning.tasks.trees import check_tree

Arc = tuple[int, str]
"""Number of a word's head, and its relation to it."""

_UNSPECIFIED = "_"
"""What stands in a CoNLL-U file where nothing does: no relation is called so."""


class DependencyParsing(LabelledTask):
    """Dependency parsing: each word's head, and its relation to it, by biaffine scores; see :class:`.BiaffineHead`.

    A raw label is two lists of two columns, ``labels: {tree: [head, deprel]}``: for each word the number of its head,
    counted from 1, 0 for the root, and the name of its relation. They must make a tree with one root. A word for which
    both are missing has no label; neither has one that the encoder cut off, or whose head it cut off.

    The loss is the mean over words of two cross entropies, of the head and of the relation to the right head. The tree
    that is predicted and evaluated is the best one with a single root, a maximum spanning tree.

    Metrics: ``uas``, the fraction of words whose head is right; ``las``, head and relation, where subtypes do not count
    (``nmod:poss`` is ``nmod``) and punctuation does, as in the CoNLL 2018 shared task; ``las_subtypes``, where they do.

    A prediction has ``heads``, ``relations`` and ``probabilities`` (of head and relation, without the constraint that
    heads make a tree), one a word, null for words that the encoder cut off. Where the input is a text, ``words`` and
    their ``offsets`` in it follow.

    Args:
        labels: Relations, in the order of the outputs; null: those of the training split, sorted.
        main_metric: The metric that stands for the task.
        dropout: Of features and of what the head makes of them.
        missing: Words that stand for a missing label, say ``_``, which is no name of a relation.
        metrics: What to report; null: ``uas`` and ``las``. The main metric is always reported.
        arc_size: Width of the vectors that heads are scored by.
        relation_size: Width of the vectors that relations are scored by.

    Reference: T. Dozat & C. Manning, Deep biaffine attention for neural dependency parsing, ICLR 2017.
    """

    level = "tokens"
    scores_labels = False
    beside_labels = LabelledTask.beside_labels | {"arc_size", "relation_size"}
    says_numbers = True
    several = "a word has one relation to its head; fix the data, or join them by `label_maps`"
    head: BiaffineHead | None

    def __init__(
        self,
        labels: Sequence[str | int] | None = None,
        main_metric: str = "las",
        dropout: float = 0.33,
        missing: Missing = None,
        metrics: list[str] | None = None,
        arc_size: int = 256,
        relation_size: int = 128,
    ) -> None:
        super().__init__(labels, main_metric, dropout, missing, Scoring(metrics))
        for name, size in {"arc_size": arc_size, "relation_size": relation_size}.items():
            if size < 1:
                raise UserError(f"`{name}` must be at least 1, found {size}")
        self.arc_size = arc_size
        self.relation_size = relation_size

    # -- labels ------------------------------------------------------------------------------------------------------
    def names(self, value: Any) -> list[str]:
        return [arc[1] for arc in self._arcs(value) if arc is not None]

    def encode(self, value: Any) -> list[list[int]]:
        return [[IGNORE, IGNORE] if arc is None else [arc[0], self.index(arc[1])] for arc in self._arcs(value)]

    def fit(self, target: list[list[int]], example: Mapping[str, Any]) -> list[list[int]]:
        number, kept = example["num_words"], len(example["word_starts"])
        if target and len(target) != number:
            raise UserError(f"{len(target)} heads for {number} words; there must be one a word")
        none = [IGNORE, IGNORE]
        return [arc if arc[0] <= kept else none for arc in target[:kept]] or [none] * kept

    def count(self, target: list[list[int]]) -> int:
        return sum(head != IGNORE for head, _ in target)

    def in_words(self, target: Tensor) -> list[str | None]:
        """Relation and number of the head of each word."""
        return [None if head == IGNORE else f"{self.name_at(relation)}→{head}" for head, relation in target.tolist()]

    def relabel(self, value: Any, rename: Callable[[str], str]) -> Any:
        arcs = self._arcs(value)
        heads = [None if arc is None else arc[0] for arc in arcs]
        return (heads, [None if arc is None else rename(arc[1]) for arc in arcs]) if arcs else None

    def _arcs(self, value: Any) -> list[Arc | None]:
        """Head and relation of each word, None where a word has none; no words at all if the label is missing."""
        if self.is_missing(value) or (isinstance(value, tuple) and all(map(self.is_missing, value))):
            return []
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise UserError(f"a tree is read from two columns, say `[head, deprel]`; found one, {shown(value)}")
        heads, relations = map(_list, value)
        if len(heads) != len(relations):
            raise UserError(f"{len(heads)} heads and {len(relations)} relations; there must be one of each a word")
        arcs = [self._arc(*word) for word in zip(range(len(heads)), heads, relations, strict=True)]
        check_tree([None if arc is None else arc[0] for arc in arcs])
        return arcs

    def _arc(self, position: int, head: Any, relation: Any) -> Arc | None:
        none = [self.is_missing(head), self.is_missing(relation) or (relation == _UNSPECIFIED != head)]
        if all(none):
            return None
        if any(none):
            found = f"the relation {shown(relation)}, but no head" if none[0] else f"the head {head}, but no relation"
            raise UserError(f"word {position + 1} has {found}; give it both, or neither", position)
        number = str(head).removesuffix(".0")
        if not number.isdecimal():
            hint = "; if it says that the word has none, set `missing: _`" if head == _UNSPECIFIED else ""
            raise UserError(
                f"word {position + 1}: its head is {shown(head)}, which is no word's number{hint}", position
            )
        return int(number), name_of(relation)

    # -- model -------------------------------------------------------------------------------------------------------
    def build(self, features: int) -> None:
        super().build(features)
        self.head = BiaffineHead(features, self.num_outputs, self.arc_size, self.relation_size, self.dropout)

    def forward(self, features: Features) -> Arcs:  # type: ignore[override]
        assert self.head is not None, "build() comes first"
        if features.tokens is None or features.mask is None:
            raise UserError("DependencyParsing reads tokens features, which this encoder or input lacks")
        arcs: Arcs = self.head(features.tokens, features.mask)
        return arcs

    def loss(self, logits: Arcs, targets: Tensor) -> Tensor:  # type: ignore[override]
        assert self.head is not None, "build() comes first"
        heads, relations = targets.unbind(-1)
        scores = self.head.relations(logits, heads.clamp(min=0))
        of_heads = mean_cross_entropy(logits.scores.flatten(0, 1), heads.flatten())
        return of_heads + mean_cross_entropy(scores.flatten(0, 1), relations.flatten())

    # -- evaluation --------------------------------------------------------------------------------------------------
    def metrics(self) -> MetricCollection:
        assert self.labels is not None, "adapt() comes first"
        catalogue: Catalogue = {
            "uas": AttachmentScore,
            "las": partial(AttachmentScore, universal(self.labels)),
            "las_subtypes": partial(AttachmentScore, range(len(self.labels))),
        }
        chosen = choose(catalogue, ["uas", "las"], self._scoring.names, self.main_metric)
        return MetricCollection({**chosen, "label_counts": RelationCounts(len(self.labels))}, compute_groups=False)

    def update(self, metrics: MetricCollection, logits: Arcs, targets: Tensor) -> None:  # type: ignore[override]
        metrics.update(self.best(logits), targets)

    def correct(self, logits: Arcs, targets: Tensor) -> Tensor:  # type: ignore[override]
        present = targets[..., 0] != IGNORE
        right = torch.where(present, (self.best(logits) == targets).all(-1), True).all(1)
        return fill_missing(right, ~present.any(1))

    def best(self, logits: Arcs) -> Tensor:
        """The head and the relation of each word that are predicted [B, L, 2]."""
        assert self.head is not None, "build() comes first"
        found = best_trees(as_array(full_precision(logits.scores)), as_array(logits.mask))
        heads = torch.from_numpy(found).to(logits.scores.device)
        return torch.stack([heads, self.head.relations(logits, heads).argmax(-1)], -1)

    def outputs(self, logits: Arcs, mask: Tensor | None) -> dict[str, Tensor]:
        """``scores`` of all arcs, the number and the probability of the best relation of each; see ``Arcs``."""
        assert self.head is not None, "build() comes first"
        relations, probabilities = self.head.best_relations(logits)
        return {"scores": logits.scores, "relations": relations, "probabilities": probabilities, "mask": logits.mask}

    def decoder(self) -> Decoder:
        assert self.labels is not None, "adapt() comes first"
        return TreeDecoder(tuple(self.labels))


def _list(value: Any) -> Sequence[Any]:
    value = items_of(value)
    if not isinstance(value, list | tuple):
        raise UserError(f"expected a list of heads and one of relations, a value a word; found {shown(value)}")
    return value
