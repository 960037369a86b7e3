"""Spanning trees against brute force and networkx."""

from itertools import product
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_lightning.decoding.trees import best_trees, spanning_tree
from mtl_lightning.errors import UserError
from mtl_lightning.tasks.trees import check_tree

RNG = np.random.default_rng(0)


@st.composite
def random_scores(draw: st.DrawFn) -> list[list[float]]:
    """Scores of heads for one to four words."""
    number = draw(st.integers(1, 4))
    row = st.lists(st.floats(-9, 9), min_size=number + 1, max_size=number + 1)
    return draw(st.lists(row, min_size=number, max_size=number))


def is_tree(heads: list[int]) -> bool:
    try:
        check_tree(heads)
    except UserError:
        return False
    return True


def score(scores: Any, heads: Any) -> float:
    return sum(row[head] for row, head in zip(scores, heads, strict=True))


@settings(max_examples=60)
@given(random_scores())
def test_the_spanning_tree_is_the_best_of_all_with_one_root(scores: list[list[float]]) -> None:
    number, found = len(scores), spanning_tree(np.array(scores))
    trees = (heads for heads in product(range(number + 1), repeat=number) if is_tree(list(heads)))
    assert is_tree(found)
    assert score(scores, found) == pytest.approx(max(score(scores, heads) for heads in trees))


def test_an_arc_that_cannot_be_does_not_hide_the_differences_of_others() -> None:
    scores = np.array([[4.0, 0.0, 0.0, -np.inf], [5.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, 0.0]])
    assert best_trees(scores[None], np.ones((1, 3), bool)).tolist() == [[2, 0, 2]]


@pytest.mark.parametrize("gain", [0.0, 2.0])
def test_the_spanning_tree_is_as_good_as_that_of_networkx(gain: float) -> None:
    chain = gain * np.eye(12, 13)
    for _ in range(10):
        scores = (RNG.normal(size=(12, 13)) + chain).tolist()
        graph = nx.DiGraph()
        for word, row in enumerate(scores, 1):
            graph.add_weighted_edges_from((h, word, s - 1e3 * (h == 0)) for h, s in enumerate(row) if h != word)
        best = nx.maximum_spanning_arborescence(graph).size("weight") + 1e3
        assert score(scores, spanning_tree(np.array(scores))) == pytest.approx(best)


def test_the_best_trees_of_padded_sentences_are_those_of_each_alone() -> None:
    lengths = [5, 1, 3, 2, 8, 0]
    mask = np.arange(8) < np.array(lengths)[:, None]
    possible = np.concatenate([np.ones((6, 8, 1), bool), mask[:, None] & ~np.eye(8, dtype=bool)], 2)
    scores = np.where(possible, RNG.normal(size=(6, 8, 9)), -np.inf)
    found = best_trees(scores, mask)
    assert (scores.argmax(-1)[mask] != found[mask]).any(), "no search was needed"
    for row, length in enumerate(lengths):
        alone, heads = np.nan_to_num(scores[row, :length, : length + 1]), found[row].tolist()
        assert not any(heads[length:])
        if length:
            assert is_tree(heads[:length])
            assert score(alone, heads[:length]) == pytest.approx(score(alone, spanning_tree(alone)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_scores_of_a_model_that_diverged_still_give_a_tree(value: float) -> None:
    scores = np.full((1, 3, 4), value, dtype=np.float32)
    assert is_tree(best_trees(scores, np.ones((1, 3), dtype=bool))[0].tolist())
