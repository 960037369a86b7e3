"""Dependency trees: whether the heads of a sentence's words make one, and the best one under scores."""

from collections.abc import Mapping, Sequence
from itertools import product

import networkx as nx
import torch
from torch import Tensor
from torch.nn.functional import pad

from mtl_lightning.errors import UserError

ROOT = 0
"""The head of the word that is the root; words are numbered from 1."""


def check_tree(heads: Sequence[int | None]) -> None:
    """Raises :class:`UserError` if heads make no tree with one root.

    Args:
        heads: Number of the head of each of n words, 0 for the root; None: it is not known.

    >>> check_tree([2, 0, None])
    """
    roots = [word for word, head in enumerate(heads, 1) if head == ROOT]
    for word, head in enumerate(heads, 1):
        if head is not None and head > len(heads):
            count = f"the sentence has {len(heads)} words"
            raise UserError(
                f"word {word}: its head is {head}, but {count}; words count from 1, the root is 0", word - 1
            )
    if len(roots) > 1:
        found = " and ".join(map(str, roots[:3])) + (" and more" if len(roots) > 3 else "")
        raise UserError(f"words {found} are roots (head 0); a tree has one, give the others a head", roots[1] - 1)
    if cycle := _cycle(heads):
        steps = " → ".join(map(str, [*cycle, cycle[0]]))
        raise UserError(f"word {cycle[0]}: its heads go round in a circle, {steps}, and not to the root", cycle[0] - 1)


def best_trees(scores: Tensor, mask: Tensor) -> Tensor:
    """The trees with one root whose arcs have the highest sum of scores: the head of each word [B, L].

    Where the best head of each word makes a tree, that is it; only of other sentences a maximum spanning tree is
    searched, on the CPU. Words that are padding have head 0.

    Args:
        scores: Of each of the heads 0, …, L for each word [B, L, L + 1].
        mask: True where there is a word [B, L].
    """
    heads = torch.where(mask, scores.argmax(-1), ROOT)
    for row in (~_are_trees(heads, mask)).nonzero().flatten().tolist():
        number = int(mask[row].sum())
        found = spanning_tree(scores[row, :number, : number + 1].float().nan_to_num().double().tolist())
        heads[row, :number] = heads.new_tensor(found)
    return heads


def spanning_tree(scores: Sequence[Sequence[float]]) -> list[int]:
    """The heads of n words that make the best tree with one root, by Edmonds' algorithm (networkx).

    Arcs that are worse than the best of their word by more than a tree at hand loses are in no best tree; few others
    are left to search. If the best tree has several roots, each arc from the root is then made to cost more than all
    others can be worth, so that it has one.

    Args:
        scores: Of each of the heads 0, …, n for each word [n, n + 1], finite; that of a word for itself is not read.

    Reference: M. Stanojević & S. Cohen, A root of a problem: optimizing single-root dependency parsing, EMNLP 2021,
    section 3 (the reweighting).

    >>> spanning_tree([[0.0, 0.0, 9.0], [1.0, 9.0, 0.0]])
    [2, 0]
    """
    arcs = [{h: score for h, score in enumerate(row) if h != word} for word, row in enumerate(scores, 1)]
    losses = [{h: score - max(row.values()) for h, score in row.items()} for row in arcs]
    at_hand = _some_tree(losses)
    most = 1.0001 * sum(row[head] for row, head in zip(losses, at_hand, strict=True)) - 1e-9  # rounded down
    kept = [{h: loss for h, loss in row.items() if loss >= most} for row in losses]
    heads = _arborescence(kept)
    if heads.count(ROOT) == 1:
        return heads
    cost = 1 - sum(min(row.values()) for row in kept)
    return _arborescence([{h: loss - (cost if h == ROOT else 0) for h, loss in row.items()} for row in kept])


def _some_tree(scores: Sequence[Mapping[int, float]]) -> list[int]:
    """A good tree with one root: the best heads, but of each cycle the word that loses least hangs on the tree."""
    root = max(range(len(scores)), key=lambda word: scores[word][ROOT])
    heads = [max(row.keys() - {ROOT}, key=row.__getitem__, default=ROOT) for row in scores]
    heads[root] = ROOT
    while cycle := _cycle(heads):
        arcs = product(cycle, _connected(heads))
        word, head = max(arcs, key=lambda arc: scores[arc[0] - 1][arc[1]])
        heads[word - 1] = head
    return heads


def _connected(heads: Sequence[int]) -> list[int]:
    """The words from which heads lead to the root."""
    found = {ROOT}
    for start in range(1, len(heads) + 1):
        path, word = set[int](), start
        while word not in found and word not in path:
            path.add(word)
            word = heads[word - 1]
        if word in found:
            found |= path
    return sorted(found - {ROOT})


def _arborescence(arcs: Sequence[Mapping[int, float]]) -> list[int]:
    """The heads of n words that make the best tree, with any number of roots; given scores of heads for each word."""
    graph = nx.DiGraph()
    for word, row in enumerate(arcs, 1):
        graph.add_weighted_edges_from((head, word, score) for head, score in row.items())
    heads = {word: head for head, word in nx.maximum_spanning_arborescence(graph).edges}
    return [heads[word] for word in range(1, len(arcs) + 1)]


def _are_trees(heads: Tensor, mask: Tensor) -> Tensor:
    """Whether the heads [B, L] make a tree with one root [B]; those of no word do."""
    above = pad(heads, (1, 0))
    for _ in range(heads.shape[1].bit_length()):
        above = above.gather(1, above)  # twice as far up each time
    reach = (above[:, 1:] == ROOT).all(1)
    return reach & (((heads == ROOT) & mask).sum(1) == mask.any(1))


def _cycle(heads: Sequence[int | None]) -> list[int]:
    """The words of a cycle, from its lowest number; none if there is none."""
    seen = [False] * (len(heads) + 1)
    for start in range(1, len(heads) + 1):
        path: list[int] = []
        word: int | None = start
        while word and not seen[word]:
            seen[word] = True
            path.append(word)
            word = heads[word - 1]
        if word in path:
            cycle = path[path.index(word) :]
            first = cycle.index(min(cycle))
            return cycle[first:] + cycle[:first]
    return []
