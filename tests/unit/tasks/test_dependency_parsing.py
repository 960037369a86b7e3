"""Dependency parsing: scores against closed forms, metrics against CoNLL's own numbers."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import leaky_relu

from mtl_lightning.chains import ClassifierChain
from mtl_lightning.data.collation import stack
from mtl_lightning.encoders import Representation
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.words import listed_words, split_words
from mtl_lightning.tasks import IGNORE, DependencyParsing, Task, TokenClassification
from mtl_lightning.tasks.biaffine import Arcs, BiaffineHead
from mtl_lightning.tasks.trees import check_tree

Label = tuple[list[int], list[str]]
RELATIONS = ["det", "nmod", "nmod:poss", "root"]
GOLD: list[Label] = [
    ([2, 3, 0, 5, 3, 3], ["nmod:poss", "nsubj", "root", "det", "obj", "punct"]),
    ([0, 1, 2, 1, 1], ["root", "obj", "acl:relcl", "advmod", "punct"]),
    ([2, 0, 4, 2], ["aux:pass", "root", "case", "obl:tmod"]),
]
FOUND: list[Label] = [
    ([2, 3, 0, 5, 3, 5], ["nmod", "nsubj", "root", "det", "obl", "punct"]),
    ([0, 1, 2, 3, 1], ["root", "obj", "acl", "advmod", "punct"]),
    ([2, 0, 4, 2], ["aux", "root", "case", "obl:tmod"]),
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@st.composite
def random_trees(draw: st.DrawFn) -> list[int]:
    """Heads of a tree: each word, in any order, hangs on one before it; the first is the root."""
    order = draw(st.permutations(range(1, draw(st.integers(1, 8)) + 1)))
    heads = [0] * len(order)
    for place, word in enumerate(order[1:], 1):
        heads[word - 1] = order[draw(st.integers(0, place - 1))]
    return heads


def mask_of(lengths: list[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


def task_of(relations: list[str], **settings: Any) -> DependencyParsing:
    task = DependencyParsing(sorted(relations), **settings)
    task.build(3)
    return task.eval()


class Knowing(DependencyParsing):
    """Its scores are high where they are told to be."""

    def told(self, labels: list[Label]) -> Arcs:
        targets = stack([self.encode(label) for label in labels], IGNORE)
        mask = targets[..., 0] != IGNORE
        heads, self.wanted = targets.clamp(min=0).unbind(-1)
        length = mask.shape[1]
        scores = torch.nn.functional.one_hot(heads, length + 1) * 8.0
        return Arcs(scores, torch.zeros(*mask.shape, 1), torch.zeros(len(mask), length + 1, 1), mask)

    def build(self, features: int) -> None:
        super().build(features)
        assert self.head is not None
        self.head.relations = lambda arcs, heads: 8.0 * torch.nn.functional.one_hot(self.wanted, self.num_outputs)  # type: ignore[method-assign]
        self.head.best_relations = lambda arcs: (self.wanted[..., None].expand_as(arcs.scores), 0 * arcs.scores + 0.99)  # type: ignore[method-assign]


def knowing(*labels: Label, **settings: Any) -> Knowing:
    task = Knowing(sorted({name for _, names in labels for name in names}), **settings)
    task.build(3)
    return task


# -- trees -------------------------------------------------------------------------------------------------------------
@settings(max_examples=60)
@given(random_trees(), st.data())
def test_a_tree_is_one_until_a_word_hangs_on_what_hangs_on_it(heads: list[int], data: st.DataObject) -> None:
    check_tree(heads)
    word = data.draw(st.integers(1, len(heads)))
    below = [word]
    for other in below:
        below += [i for i, head in enumerate(heads, 1) if head == other]
    heads[word - 1] = data.draw(st.sampled_from(below))
    with pytest.raises(UserError, match="go round in a circle"):
        check_tree(heads)


# -- scores ------------------------------------------------------------------------------------------------------------
def test_scores_are_biaffine() -> None:
    head = BiaffineHead(3, 2, 4, 5, torch.nn.Identity()).double()
    words = torch.randn(1, 3, 3, dtype=torch.float64)
    arcs = head(words, torch.ones(1, 3, dtype=torch.bool))
    one = torch.ones(1, dtype=torch.float64)
    weights = head.relation.weight.view(2, 6, 6)
    for i, word in enumerate(words[0]):
        arc, relation = leaky_relu(head.as_dependent(word), 0.1).split([4, 5])
        for j, other in enumerate([head.root, *words[0]]):
            if j == i + 1:
                assert arcs.scores[0, i, j] == -torch.inf
                continue
            arc_head, relation_head = leaky_relu(head.as_head(other), 0.1).split([4, 5])
            expected = arc @ head.arc.weight.T @ arc_head + head.arc.bias @ arc_head
            torch.testing.assert_close(arcs.scores[0, i, j], expected)
            found = head.relations(arcs, torch.full((1, 3), j))[0, i]
            torch.testing.assert_close(found, torch.cat([relation, one]) @ weights @ torch.cat([relation_head, one]))


def test_the_best_relation_to_every_head_is_that_of_the_scores_for_it() -> None:
    head = BiaffineHead(3, 5, 4, 5, torch.nn.Identity())
    arcs = head(torch.randn(2, 3, 3), mask_of([3, 2]))
    found, probabilities = head.best_relations(arcs)
    for to in range(4):
        best, wanted = head.relations(arcs, torch.full((2, 3), to)).softmax(-1).max(-1)
        assert torch.equal(found[..., to], wanted)
        torch.testing.assert_close(probabilities[..., to], best)


def test_the_loss_is_the_mean_over_words_of_two_cross_entropies() -> None:
    task = task_of(RELATIONS, arc_size=4, relation_size=4)
    assert task.head is not None
    mask = mask_of([3, 2])
    arcs = task.head(torch.randn(2, 3, 3), mask)
    labels: list[Label] = [([2, 0, 2], ["det", "root", "nmod"]), ([0, 1], ["root", "det"])]
    targets = stack([task.encode(label) for label in labels], IGNORE)
    expected = []
    for row, (heads, relations) in enumerate(labels):
        for word, (to, relation) in enumerate(zip(heads, relations, strict=True)):
            chosen = task.head.relations(arcs, torch.full((2, 3), to))[row, word].log_softmax(-1)
            expected.append(-arcs.scores[row, word].log_softmax(-1)[to] - chosen[RELATIONS.index(relation)])
    torch.testing.assert_close(task.loss(arcs, targets), torch.stack(expected).mean())


# -- metrics and predictions -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_of_half_precision_are_trained(dtype: torch.dtype) -> None:
    task = task_of(RELATIONS, arc_size=4, relation_size=4)
    task.build(3)
    task.to(dtype)
    arcs = task(Representation(torch.zeros(1, 3, dtype=dtype), torch.randn(1, 2, 3, dtype=dtype), mask_of([2])))
    loss = task.loss(arcs, torch.tensor([[[0, 3], [1, 0]]]))
    loss.backward()
    assert loss.dtype == torch.float32 and all(p.grad is not None and p.grad.any() for p in task.parameters())


def test_scores_are_those_of_the_conll_2018_script() -> None:
    """Of the same two files, conll18_ud_eval.py 1.2 finds UAS 13 of 15 words, LAS 12 of 15."""
    task = knowing(*GOLD, *FOUND, metrics=["uas", "las", "las_subtypes"])
    metrics = task.metrics()
    arcs = task.told(FOUND)
    task.update(metrics, arcs, stack([task.encode(label) for label in GOLD], IGNORE))
    found = metrics.compute()
    report = task.report(found.pop("label_counts"))
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {"uas": 13 / 15, "las": 12 / 15, "las_subtypes": 9 / 15}
    )
    assert report["advmod"]["recall"] == 0 and report["root"]["f1"] == 1 and report["root"]["support"] == 3
    right = task.correct(arcs, stack([task.encode(label) for label in [FOUND[0], GOLD[1], None]], IGNORE))
    assert right[:2].tolist() == [1, 0] and right[2].isnan()


@settings(max_examples=40)
@given(st.lists(random_trees(), min_size=1, max_size=4))
def test_what_is_encoded_is_decoded(trees: list[list[int]]) -> None:
    labels = [(heads, ["root" if head == 0 else f"r{head % 3}" for head in heads]) for heads in trees]
    task = knowing(*labels, ([0], ["root"]), ([0], ["r0"]))
    arcs = task.told(labels)
    found = task.decode(arcs, arcs.mask)
    assert [(row["heads"], row["relations"]) for row in found] == labels
    assert all(0.9 < p <= 1 for row in found for p in row["probabilities"])
    metrics = task.metrics()
    task.update(metrics, arcs, stack([task.encode(label) for label in labels], IGNORE))
    assert metrics.compute()["las"] == 1


def test_predictions_stand_beside_all_words_of_the_input() -> None:
    decoded = {"heads": [2, 0], "relations": ["det", "root"], "probabilities": [0.5, 1.0]}
    task = DependencyParsing(RELATIONS)
    assert task.place(decoded, listed_words(["a", "b", "c"])) == {
        "heads": [2, 0, None],
        "relations": ["det", "root", None],
        "probabilities": [0.5, 1.0, None],
    }
    assert task.place(decoded, split_words("a  b", "whitespace"))["offsets"] == [[0, 1], [3, 4]]


# -- labels ------------------------------------------------------------------------------------------------------------
BAD: dict[str, tuple[Any, str, int | None]] = {
    "out of range": (([2, 0, 4], ["det", "root", "det"]), "word 3: its head is 4, but the sentence has 3 words", 2),
    "two roots": (([0, 1, 0], ["root", "det", "root"]), r"words 1 and 3 are roots \(head 0\); a tree has one", 2),
    "a circle": (([0, 4, 2, 3], ["root"] * 4), "word 2: its heads go round in a circle, 2 → 4 → 3 → 2", 1),
    "its own head": (([0, 2], ["root"] * 2), "word 2: its heads go round in a circle, 2 → 2", 1),
    "no root": (([2, 1], ["det"] * 2), "go round in a circle, 1 → 2 → 1, and not to the root", 0),
    "fewer relations": (([2, 0], ["root"]), "2 heads and 1 relations; there must be one of each a word", None),
    "no relation": (([2, 0], ["det", None]), "word 2 has the head 0, but no relation; give it both, or neither", 1),
    "no head": (([None, 0], ["det", "root"]), "word 1 has the relation 'det', but no head", 0),
    "no number": ((["_", 0], ["_", "root"]), "head is '_', which is no word's number; if .*, set `missing: _`", 0),
    "unspecified relation": (([2, 0], ["_", "root"]), "word 1 has the head 2, but no relation", 0),
    "negative": (([-1, 0], ["det", "root"]), "word 1: its head is -1, which is no word's number", 0),
    "one column": ("det", r"a tree is read from two columns, say `\[head, deprel\]`; found one, 'det'", None),
    "no lists": ((2, "det"), "expected a list of heads and one of relations, a value a word; found 2", None),
    "unknown": (([0], ["rood"]), "label 'rood' is not among the task's 4 labels.*did you mean 'root'", None),
}


@pytest.mark.parametrize(("label", "message", "word"), BAD.values(), ids=BAD)
def test_what_is_no_tree_is_refused(label: Any, message: str, word: int | None) -> None:
    with pytest.raises(UserError, match=message) as raised:
        DependencyParsing(RELATIONS).encode(label)
    assert raised.value.word == word


def test_words_without_a_label_are_left_out() -> None:
    task = DependencyParsing(RELATIONS, missing="_")
    assert task.encode((None, None)) == task.encode(("", None)) == []
    label = task.encode((["_", "0", 2.0], ["_", "root", "det"]))
    assert label == [[IGNORE, IGNORE], [0, 3], [2, 0]] and task.count(label) == 2


def test_lists_may_be_texts() -> None:
    assert DependencyParsing(RELATIONS).encode(("[2, 0]", "['det', 'root']")) == [[2, 0], [0, 3]]


def test_words_that_were_cut_off_have_no_label_and_are_no_heads() -> None:
    task = DependencyParsing(RELATIONS)
    label = task.encode(([4, 1, 1, 0], ["det", "det", "nmod", "root"]))
    kept = task.fit(label, {"num_words": 4, "word_starts": [1, 2, 3]})
    assert kept == [[IGNORE, IGNORE], [1, 0], [1, 1]] and task.count(kept) == 2
    assert task.fit([], {"num_words": 4, "word_starts": [1, 2]}) == [[IGNORE, IGNORE]] * 2
    with pytest.raises(UserError, match="4 heads for 5 words; there must be one a word"):
        task.fit(label, {"num_words": 5, "word_starts": [1, 2, 3]})


def test_relations_are_renamed_and_heads_kept() -> None:
    task = DependencyParsing(RELATIONS)
    assert task.relabel(([0, 1], ["ROOT", "DET"]), str.lower) == ([0, 1], ["root", "det"])
    assert task.relabel((None, None), str.lower) is None


def test_relations_that_both_know_keep_their_weights() -> None:
    old, new = task_of(RELATIONS), task_of(["amod", "nmod", "root"])
    assert old.head is not None and new.head is not None
    taken, said = new.inherited(old.state_dict(), old.adapted())
    new.load_state_dict({**new.state_dict(), **taken})
    assert said.startswith("2 of 3 labels") and torch.equal(new.head.as_head.weight, old.head.as_head.weight)
    assert torch.equal(new.head.relation.weight[[1, 2]], old.head.relation.weight[[1, 3]])


def test_no_other_task_reads_a_tree_but_a_tree_may_read_another_task() -> None:
    tasks: dict[str, Task] = {
        "tree": DependencyParsing(RELATIONS),
        "upos": TokenClassification(labels=["NOUN", "VERB"]),
    }
    with pytest.raises(UserError, match="reads classifications and regressions, but 'tree' is a DependencyParsing"):
        ClassifierChain("tree").build("upos", tasks)
    link = ClassifierChain("upos")
    link.build("tree", tasks)
    features = Representation(tokens=torch.randn(2, 3, 4), mask=mask_of([3, 2]))
    tasks["tree"].build(4 + link.width)
    arcs: Any = tasks["tree"](link.read(features, {"upos": torch.randn(2, 3, 2)}))
    assert arcs.scores.shape == (2, 3, 4)


def test_sizes_of_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="`relation_size` must be at least 1, found 0"):
        DependencyParsing(relation_size=0)
