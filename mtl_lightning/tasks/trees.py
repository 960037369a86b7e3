"""Dependency trees: whether the heads of a sentence's words make one, and the best one under scores."""

from collections.abc import Sequence

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

    Each arc from the root costs more than all others can be worth, so that the best tree has one.

    Args:
        scores: Of each of the heads 0, …, n for each word [n, n + 1], finite; that of a word for itself is not read.

    Reference: M. Stanojević & S. Cohen, A root of a problem: optimizing single-root dependency parsing, EMNLP 2021,
    section 3 (the reweighting).

    >>> spanning_tree([[0.0, 0.0, 9.0], [1.0, 9.0, 0.0]])
    [2, 0]
    """
    arcs = [{h: score for h, score in enumerate(row) if h != word} for word, row in enumerate(scores, 1)]
    cost = 1 + sum(max(row.values()) - min(row.values()) for row in arcs)
    graph = nx.DiGraph()
    for word, row in enumerate(arcs, 1):
        best = max(row.values())
        graph.add_weighted_edges_from((h, word, s - best - (cost if h == ROOT else 0)) for h, s in row.items())
    tree = nx.maximum_spanning_arborescence(graph)
    heads = {word: head for head, word in tree.edges}
    return [heads[word] for word in range(1, len(scores) + 1)]


def _are_trees(heads: Tensor, mask: Tensor) -> Tensor:
    """Whether the heads [B, L] make a tree with one root [B]."""
    above = pad(heads, (1, 0))
    for _ in range(heads.shape[1].bit_length()):
        above = above.gather(1, above)  # twice as far up each time
    reach = (above[:, 1:] == ROOT).all(1)
    return reach & (((heads == ROOT) & mask).sum(1) == 1)


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
