"""Biaffine scores of arcs between words, and of the arcs' relations."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from mtl_lightning.tasks.base import full_precision


class Arcs(NamedTuple):
    """What a :class:`BiaffineHead` computes; head 0 is the root, head i the i-th word.

    Attributes:
        scores: Of each head for each word [B, L, L + 1]; -inf where there is no such word, and for a word itself.
        dependents: Each word as a dependent, for the scores of relations [B, L, R].
        heads: The root and each word as a head, for the same [B, L + 1, R].
        mask: True where there is a word [B, L].
    """

    scores: Tensor
    dependents: Tensor
    heads: Tensor
    mask: Tensor


class BiaffineHead(nn.Module):
    """Scores every pair of a word and its possible head.

    Each word becomes two vectors, one as a dependent and one as a head, by a layer for arcs and one for relations; a
    trained vector stands for the root. Arcs: s(i, j) = d_i' U h_j + u' h_j; relation r: s_r(i, j) = [d_i, 1]' W_r
    [h_j, 1]. The scores of relations are computed for one head a word, so that memory does not grow with its number of
    possible heads times that of relations.

    Args:
        features: D, the width of a word's features.
        num_relations: C.
        arc_size: Width of the vectors for arcs.
        relation_size: Width of the vectors for relations, R.
        dropout: Of features and of these vectors.

    Differs from the paper: dropout of single values, not of whole rows; the root is trained.

    Reference: T. Dozat & C. Manning, Deep biaffine attention for neural dependency parsing, ICLR 2017, eq. 4-9.
    """

    def __init__(
        self, features: int, num_relations: int, arc_size: int, relation_size: int, dropout: nn.Module
    ) -> None:
        super().__init__()
        self.sizes = (arc_size, relation_size)
        self.dropout = dropout
        self.root = nn.Parameter(torch.randn(features) / features**0.5)
        self.as_dependent = nn.Linear(features, arc_size + relation_size)
        self.as_head = nn.Linear(features, arc_size + relation_size)
        self.arc = nn.Linear(arc_size, arc_size)  # u' is its bias
        self.relation = nn.Linear((relation_size + 1) ** 2, num_relations, bias=False)

    def forward(self, words: Tensor, mask: Tensor) -> Arcs:
        """Scores all arcs.

        Args:
            words: Features [B, L, D].
            mask: True where there is a word [B, L].
        """
        root = self.root.to(words.dtype).expand(words.shape[0], 1, -1)
        words = self.dropout(words)
        arc_dependents, dependents = self._vectors(self.as_dependent, words)
        arc_heads, heads = self._vectors(self.as_head, torch.cat([root, words], 1))
        scores = self.arc(arc_dependents) @ arc_heads.transpose(1, 2)
        return Arcs(scores.masked_fill(~_possible(mask), -torch.inf), dependents, heads, mask)

    def relations(self, arcs: Arcs, heads: Tensor) -> Tensor:
        """Scores of the relations of each word to one head [B, L, C].

        Args:
            arcs: What ``forward`` returned.
            heads: Number of the head of each word [B, L].
        """
        places = heads.unsqueeze(-1).expand(-1, -1, arcs.heads.shape[-1])
        chosen = _with_one(full_precision(arcs.heads.gather(1, places)))
        dependents = _with_one(full_precision(arcs.dependents))
        width = dependents.shape[-1]
        weights = full_precision(self.relation.weight).view(-1, width, width)
        return torch.einsum("blrd,bld->blr", torch.einsum("bld,rde->blre", dependents, weights), chosen)

    def best_relations(self, arcs: Arcs) -> tuple[Tensor, Tensor]:
        """The most probable relation of each word to every head, its number and its probability [B, L, L + 1].

        One relation after the other, so that memory does not grow with their number; that takes 1.2 times the time of
        the scores for one head a word with 30 words, and twice with 100.

        Args:
            arcs: What ``forward`` returned.
        """
        dependents, heads = (_with_one(full_precision(each)) for each in (arcs.dependents, arcs.heads))
        heads, width = heads.transpose(1, 2), dependents.shape[-1]
        first, *others = full_precision(self.relation.weight).view(-1, width, width)
        best = full_precision(dependents @ first @ heads)
        total, found = torch.ones_like(best), torch.zeros_like(best, dtype=torch.int64)
        for number, weights in enumerate(others, 1):
            scores = full_precision(dependents @ weights @ heads)
            found = torch.where(scores > best, number, found)
            top = torch.maximum(best, scores)
            total, best = total * (best - top).exp() + (scores - top).exp(), top
        return found, 1 / total

    def _vectors(self, layer: nn.Module, words: Tensor) -> tuple[Tensor, Tensor]:
        arc, relation = self.dropout(leaky_relu(layer(words), 0.1)).split(self.sizes, -1)
        return arc, relation


def _possible(mask: Tensor) -> Tensor:
    """Which heads a word may have [B, L, L + 1]: the root, and every other word."""
    length = mask.shape[1]
    others = ~torch.eye(length, dtype=torch.bool, device=mask.device)
    root = mask.new_ones(mask.shape[0], length, 1)
    return torch.cat([root, mask.unsqueeze(1) & others], 2)


def _with_one(vectors: Tensor) -> Tensor:
    return torch.cat([vectors, torch.ones_like(vectors[..., :1])], -1)
