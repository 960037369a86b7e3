"""Relations between spans: what is encoded, what the loss and metrics count, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch.nn.functional import binary_cross_entropy_with_logits

from mtl_lightning.data.collation import stack
from mtl_lightning.encoders import PerceptronEncoder, Representation
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.inputs import spans as spans_of_words
from mtl_lightning.inputs.spans import encode_spans
from mtl_lightning.inputs.words import listed_words
from mtl_lightning.raw_labels import Counted
from mtl_lightning.raw_labels.spans import kind_of
from mtl_lightning.tasks import IGNORE, RelationClassification
from mtl_lightning.tasks.relation_classification import RelationLogits
from mtl_lightning.testing import check_task

SPANS = [[[0, 1, 7], [2, 4, 0], [5, 6, 7]], [[0, 1, 7]], [[1, 2, 3], [0, 1, 4]], [[0, 2, 1], [3, 4, 2]]]
EXAMPLES = [{"spans": spans, "num_words": 6, "word_starts": [*range(6)]} for spans in SPANS]
RELATIONS = [
    [{"head": [0, 1], "tail": [2, 4], "type": "won"}, {"head": 2, "tail": 0, "label": "in"}],
    [],
    None,
    [[[3, 4], [0, 2], "in"], [[3, 4], [0, 2], "won"]],
]
LABELS = ["in", "of", "won"]


def collate_spans(spans: Any) -> torch.Tensor:
    return torch.from_numpy(spans_of_words.collate_spans(spans))


def relations(**arguments: Any) -> RelationClassification:
    return RelationClassification(**{"labels": LABELS, "hidden": 8, **arguments})


def targets(task: RelationClassification, raw: Any = RELATIONS) -> torch.Tensor:
    return stack([task.fit(task.encode(value), each) for value, each in zip(raw, EXAMPLES, strict=True)], IGNORE)


def logits(seed: int = 0) -> RelationLogits:
    scores = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    return RelationLogits(scores, collate_spans(SPANS))


def truth(pairs: str = "all") -> dict[tuple[int, int, int], list[float]]:
    """Whether each label applies, by example and positions of two spans, for the pairs that count."""
    found = {(0, i, j): [0.0] * 3 for i in range(3) for j in range(3) if i != j}
    found |= {(3, 0, 1): [0.0] * 3, (3, 1, 0): [1.0, 0.0, 1.0]}
    found[0, 0, 1], found[0, 2, 0] = [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]
    return {place: row for place, row in found.items() if pairs == "all" or any(row)}


CONTRACTS = [{}, {"pairs": "related", "pos_weight": "balanced"}, {"kind_size": 0, "pos_weight": 3.0}]


@pytest.mark.parametrize("arguments", CONTRACTS)
def test_contract(arguments: dict[str, Any]) -> None:
    check_task(RelationClassification(hidden=8, **arguments), RELATIONS, 16, EXAMPLES, {"spans": collate_spans(SPANS)})


@pytest.mark.parametrize("pairs", ["all", "related"])
def test_loss_is_the_mean_over_pairs_that_count(pairs: Any) -> None:
    task, wanted = relations(pairs=pairs), truth(pairs)
    rows = torch.stack([logits().scores[place] for place in wanted])
    expected = binary_cross_entropy_with_logits(rows, torch.tensor([*wanted.values()]))
    found = targets(task)
    torch.testing.assert_close(task.loss(logits(), found), expected)
    assert [task.count(row.tolist()) for row in found] == ([6, 0, 0, 2] if pairs == "all" else [2, 0, 0, 1])


def test_balanced_weights_are_negatives_by_positives_of_related_pairs() -> None:
    task = relations(pairs="related", pos_weight="balanced", missing="NA")
    twice = [[0, 1, "won"], [0, 1, "won"], [1, 0, "won"]]
    task.adapt([*RELATIONS, twice, Counted([[1, 2, "won"]], 2), [[0, 1, "lost"]]])
    assert task.pos_weight == {"in": 5 / 2, "of": 1.0, "won": 1 / 6}
    assert "no example of the label 'of'" in task.remarks()[0] and task.adapted()["pos_weight"] == task.pos_weight
    with pytest.raises(UserError, match="`pos_weight: balanced` goes with `pairs: related`"):
        relations(pos_weight="balanced")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    task, wanted = relations(metrics=["f1", "f1_macro", "f1_macro_present", "f1_weighted"]), truth()
    metrics, found = task.metrics(), logits(seed)
    task.update(metrics, found, targets(task))
    predicted = np.stack([(found.scores[place] > 0).numpy() for place in wanted])
    actual = np.array([*wanted.values()])
    present = [label for label in range(3) if (predicted | (actual > 0)).any(0)[label]]
    values = metrics.compute()
    for name, average in {"f1": "micro", "f1_macro": "macro", "f1_weighted": "weighted"}.items():
        expected = f1_score(actual, predicted, average=average, labels=present, zero_division=0)
        assert values[name].item() == pytest.approx(expected, abs=1e-6)
    expected = f1_score(actual, predicted, average="macro", labels=[0, 2])  # no pair is labelled "of"
    assert values["f1_macro_present"].item() == pytest.approx(expected, abs=1e-6)


def test_relations_of_spans_that_were_not_found_are_missed() -> None:
    task = relations()
    metrics, found = task.metrics(), targets(task)
    scores = torch.full((4, 3, 3, 3), -9.0)
    scores[0, 0, 1, 2] = scores[0, 0, 1, 0] = (
        9.0  # one right, one not; the third span of the first example is not found
    )
    spans = collate_spans([SPANS[0][:2], *SPANS[1:]])[:, :2]
    task.update(metrics, RelationLogits(scores[:, :2, :2], spans), found)
    assert metrics.compute()["precision"] == 1 / 2 and metrics.compute()["recall"] == 1 / 4
    right = task.correct(RelationLogits(scores[:, :2, :2], spans), found)
    assert right is not None and right.nan_to_num(-1).tolist() == [0, 1, -1, 0]


def test_a_related_pair_has_its_best_label_at_least() -> None:
    scores = torch.full((4, 3, 3, 3), -9.0)
    scores[0, 0, 1] = torch.tensor([-3.0, -2.0, -1.0])
    decoded = relations(pairs="related").decode(RelationLogits(scores, collate_spans(SPANS)), None)
    assert {"label": "won", "head": [0, 1], "tail": [2, 4]}.items() <= decoded[0]["relations"][0].items()
    assert relations().decode(RelationLogits(scores, collate_spans(SPANS)), None) == [{"relations": []}] * 4


def test_predictions_name_the_words() -> None:
    scores = torch.full((4, 3, 3, 3), -9.0)
    scores[0, 0, 1, 2] = 9.0
    task = relations()
    decoded = task.decode(RelationLogits(scores, collate_spans(SPANS)), None)[0]
    (found,) = task.place(decoded, listed_words(["Ada", "met", "Alan", "Turing", "in", "Oslo"]))["relations"]
    assert found["tail"] == {"word": "Alan Turing", "start": 2, "end": 4, "start_word": 2, "end_word": 4}
    assert found["head"]["word"] == "Ada" and found["label"] == "won" and found["probability"] > 0.99


# -- what is read ------------------------------------------------------------------------------------------------------
def test_spans_beyond_the_words_kept_are_left_out() -> None:
    spans = encode_spans([[0, 1, "x"], {"start": 3, "end": 4, "type": "y"}], "inclusive", 6, 4)
    assert spans == [[0, 2, kind_of("x")], [-1, -1, kind_of("y")]] and encode_spans(None, "exclusive", 2, 2) == []
    task = relations()
    task.spans = "inclusive"
    assert task.fit(task.encode([[[0, 1], [3, 4], "in"]]), {"spans": spans}) == [[0, 0, 0, 0, -1]]
    assert collate_spans([[], []]).shape == (2, 0, 3)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("won", "expected a list of relations with `head`, `tail` and `label`"),
        ([{"head": [0, 1], "type": "won"}], "relation 1: `tail`: expected `start`, `end`"),
        ([{"head": [0, 1], "tail": [2, 4]}], "relation 1: expected `head`, `tail` and `label`"),
        (
            [[[0, 1], [2, 2], "won"]],
            "relation 1: `tail`: it starts at 2 and ends at 2, so it has no words; .* inclusive",
        ),
        (
            [[[0, 1], [2, 5], "won"]],
            r"relation 1 \(won\) names words 3 to 5 \(counted from 1\), which is no span",
        ),
        ([[0, 3, "won"]], r"relation 1 \(won\) names span 3, but there are 3, counted from 0"),
        ([[1, 1, "won"]], r"relation 1 \(won\) leads from a span to itself"),
        ([[0, 1, "NA"]], "relation 1: its label is missing, 'NA'; take it out if there is no relation"),
        ([[0, 1, "lost"]], "label 'lost' is not among the task's 3 labels"),
    ],
)
def test_relations_that_are_refused(raw: Any, words: str) -> None:
    task = relations(missing="NA")
    with pytest.raises(UserError, match=words):
        task.fit(task.encode(raw), EXAMPLES[0])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"tokens": [["a", "b"]], "spans": [[[0, 3]]]}, "span 1 ends at word 3, but there are 2 words"),
        ({"tokens": [["a", "b"]], "spans": [[[1, 1]]]}, "span 1: it starts at 1 and ends at 1, so it has no words"),
        ({"tokens": [["a", "b"]], "spans": ["x"]}, "expected a list of spans of words, found 'x'"),
        ({"text": ["a b"], "spans": [[]]}, "give `tokens` with or without `spans`, .*; found text, spans"),
    ],
)
def test_spans_that_are_refused(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        TextProcessor(character_tokenizer("ascii"), 16).encode(columns)


def test_options_that_are_refused() -> None:
    with pytest.raises(UserError, match="`hidden` must be at least 1"):
        relations(hidden=0)
    with pytest.raises(UserError, match="of which PerceptronEncoder has none"):
        relations().meet(PerceptronEncoder(2, [3]))
    assert not relations().can_read(Representation(None, torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)))


def test_a_warm_start_of_another_width_and_other_labels_takes_what_fits() -> None:
    trained, task = relations(), relations(labels=["in", "by"], hidden=6)
    for each in (trained, task):
        each.build(4)
    taken, _ = task.inherited(trained.state_dict(), trained.adapted())
    assert taken.keys() == {"head.kinds.weight", "head.output.bias"}
    assert taken["head.output.bias"][0] == trained.state_dict()["head.output.bias"][0]


def test_batches_with_spans_can_be_joined() -> None:
    processor = TextProcessor(character_tokenizer("ascii"), 16)
    columns = [{"tokens": [["a", "b"]], "spans": [[[0, 1], [1, 2]]]}, {"tokens": [["a", "c"]], "spans": [[]]}]
    batches = []
    for each in columns:
        encoded = processor.encode(each)
        batches.append(processor.collate([{name: values[0] for name, values in encoded.items()}]))
    assert processor.can_join(batches)
    assert processor.join(batches).keys() == batches[0].keys() - {"spans"}  # heads read that of each batch


def test_targets_in_words() -> None:
    task = relations()
    found = [task.in_words(row) for row in targets(task)]
    assert found == [
        "won: word 1 → words 3 to 4; in: word 6 → word 1",
        None,
        None,
        "in: word 4 → words 1 to 2; won: word 4 → words 1 to 2",
    ]
