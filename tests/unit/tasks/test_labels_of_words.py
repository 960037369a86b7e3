"""Several labels a word: what they are read from, and their scores against scikit-learn's."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mtl_lightning.data import FileSource
from mtl_lightning.data.collation import stack
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.labels import understood_labels
from mtl_lightning.encoders import Representation
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import (
    DependencyParsing,
    MultiLabelClassification,
    Task,
    TokenClassification,
    TokenMultiLabelClassification,
)
from mtl_lightning.training.empty_states import give_types

LABELS = ["Case=Nom", "Number=Plur", "Number=Sing"]


def features_task(**arguments: Any) -> TokenMultiLabelClassification:
    return TokenMultiLabelClassification(**{"separator": "|", "empty": "_", **arguments})


def built(**arguments: Any) -> TokenMultiLabelClassification:
    task = features_task(labels=LABELS, **arguments)
    task.build(4)
    return task.eval()


def some(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and targets of five sentences; padding, words without labels, and labels that are not known."""
    torch.manual_seed(seed)
    targets = torch.randint(2, (5, 6, 3)).float()
    targets[torch.arange(6) >= torch.tensor([6, 4, 1, 5, 2])[:, None]] = math.nan
    targets[0, 2] = math.nan
    return torch.randn(5, 6, 3), targets


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        (["Number=Sing|Case=Nom", "_", "Number=Plur"], [[1, 0, 1], [0, 0, 0], [0, 1, 0]]),
        ([["Number=Sing", "Case=Nom"], [], ["Number=Plur"]], [[1, 0, 1], [0, 0, 0], [0, 1, 0]]),
        ("['Number=Sing|Case=Nom', '_', '']", [[1, 0, 1], [0, 0, 0], None]),
        ([[1, 0, 1], None, [0, 1, 0]], [[1, 0, 1], None, [0, 1, 0]]),
    ],
    ids=["texts", "lists", "of-csv", "vectors"],
)
def test_what_labels_are_read_from(value: Any, rows: list[list[int] | None]) -> None:
    found = torch.tensor(features_task(labels=LABELS).encode(value))
    wanted = torch.tensor([[math.nan] * 3 if row is None else row for row in rows])
    assert torch.equal(found.nan_to_num(7), wanted.nan_to_num(7))


def test_labels_come_from_the_words() -> None:
    task = features_task()
    task.adapt([["Number=Sing|Case=Nom", "_"], None, ["Number=Plur", ""]])
    assert task.labels == LABELS
    vectors = TokenMultiLabelClassification()
    vectors.adapt([[[1, 0], [0, 1]], None])
    assert vectors.labels == ["label_0", "label_1"]


def test_a_word_for_nothing_is_pointed_out() -> None:
    task = features_task(empty=None)
    task.adapt([["Number=Sing", "_", "_"]])
    (remark,) = task.remarks()
    assert "'_' (2) may mean 'no label': then set `missing: ['_']`, or `empty` alike if it says that no" in remark


def test_a_bad_word_is_named() -> None:
    with pytest.raises(UserError, match="word 2: label 'Tense=Past' is not among the task's 3 labels") as caught:
        features_task(labels=LABELS).encode(["_", "Tense=Past"])
    assert caught.value.word == 1
    with pytest.raises(UserError, match="expected a list of labels, one a word, found 'Case=Nom'"):
        features_task(labels=LABELS).encode("Case=Nom")


def test_balanced_weights_count_words() -> None:
    values = [["Case=Nom", "Case=Nom|Number=Sing", "_"], None, ["Number=Plur", None]]
    task = features_task(pos_weight="balanced")
    task.adapt(values)
    words = MultiLabelClassification(separator="|", empty="_", pos_weight="balanced")
    words.adapt([word for value in values if value for word in value])
    assert task.pos_weight == words.pos_weight == {"Case=Nom": 1.0, "Number=Plur": 3.0, "Number=Sing": 3.0}


def test_the_loss_is_the_mean_over_known_labels() -> None:
    logits, targets = some()
    known = ~targets.isnan()
    wanted = binary_cross_entropy_with_logits(logits[known], targets[known])
    assert torch.allclose(built().loss(logits, targets), wanted)


def test_scores_agree_with_scikit_learn() -> None:
    task = built(metrics=["f1", "f1_micro", "precision", "recall_weighted", "auroc", "subset_accuracy"])
    logits, targets = some()
    metrics = task.metrics()
    task.update(metrics, logits[:2], targets[:2])
    task.update(metrics, logits[2:], targets[2:])
    labelled = ~targets.isnan().all(-1)
    truth, scores = targets[labelled].numpy(), logits[labelled].sigmoid().numpy()
    found = {name: float(value) for name, value in metrics.compute().items() if name != "label_counts"}
    assert found == pytest.approx(
        {
            "f1": f1_score(truth, scores > 0.5, average="macro"),
            "f1_micro": f1_score(truth, scores > 0.5, average="micro"),
            "precision": precision_score(truth, scores > 0.5, average="macro"),
            "recall_weighted": recall_score(truth, scores > 0.5, average="weighted"),
            "auroc": roc_auc_score(truth, scores, average="macro"),
            "subset_accuracy": accuracy_score(truth, scores > 0.5),
        },
        abs=1e-6,
    )


def test_a_sentence_is_right_if_all_its_known_labels_are() -> None:
    logits, targets = some()
    targets[4] = math.nan
    logits[0] = 2 * targets[0].nan_to_num() - 1
    right = built().correct(logits, targets)
    assert right[0] == 1 and right[4].isnan() and right[1] == 0


def test_predictions_are_lists_of_each_word() -> None:
    task = built()
    logits = torch.tensor([[[9.0, -9, 9], [-9, -9, -9]], [[-9.0, 9, -9], [9, 9, 9]]])
    rows = task.decode(logits, torch.tensor([[True, True], [True, False]]))
    assert [row["labels"] for row in rows] == [[["Case=Nom", "Number=Sing"], []], [["Number=Plur"]]]
    assert rows[0]["probabilities"][0] == pytest.approx([1, 1], abs=1e-3) and rows[0]["probabilities"][1] == []


@pytest.mark.parametrize(
    "task",
    [features_task(labels=LABELS), TokenClassification(labels=["a", "b"]), DependencyParsing(["a", "b"])],
    ids=lambda t: type(t).__name__,
)
def test_a_list_of_nothing_is_the_same_as_csv_writes_it(task: Task) -> None:
    value = ([], []) if isinstance(task, DependencyParsing) else []
    assert task.encode(("[]", "[]") if value else "[]") == task.encode(value) == []


def test_a_process_without_labels_has_the_states_of_others() -> None:
    task = built(metrics=["auroc"])
    metrics, others = task.metrics(), task.metrics()
    give_types(metrics, task)
    task.update(others, *some())
    for name, metric in metrics.items():
        for state, found in metric.metric_state.items():
            if isinstance(found, list):
                other = others[name].metric_state[state][0]
                assert (found[0].dtype, found[0].shape[1:]) == (other.dtype, other.shape[1:])


def test_features_of_a_conll_file(tmp_path: Path) -> None:
    words = ["He\tCase=Nom|Number=Sing", "runs\tNumber=Sing", "\nThey\tCase=Nom|Number=Plur", ".\t_\n"]
    (tmp_path / "data.conll").write_text("\n".join(words))
    files = {"train": str(tmp_path / "data.conll")}
    source = FileSource(files, {"tokens": "form"}, {"feats": "feats"}, columns=["form", "feats"])
    task, table = features_task(), source.load()["train"]
    processor = TextProcessor(character_tokenizer("ascii"), 32)
    encoding = Encoding("mine", source, processor, {"feats": task})
    task.adapt(understood_labels(encoding, table, "train", "feats"))
    encoded = encoding(table, "train")
    assert task.labels == LABELS
    assert [list(map(list, row)) for row in encoded["targets/feats"]] == [
        [[1, 0, 1], [0, 0, 1]],
        [[1, 1, 0], [0, 0, 0]],
    ]
    assert list(encoded["counts/feats"]) == [6, 6]
    targets = stack(list(encoded["targets/feats"]), task.missing)
    task.build(4)
    assert task.loss(task(Representation(tokens=torch.randn(2, 2, 4))), targets).isfinite()


def test_a_word_may_say_that_an_example_has_no_label() -> None:
    task = MultiLabelClassification(LABELS, empty=["none", 0])
    assert task.encode("none") == task.encode(0) == task.encode([]) == [0, 0, 0]
    task = MultiLabelClassification(empty="none")
    task.adapt(["p,q", "none", None, "q"])
    assert task.labels == ["p", "q"]


@pytest.mark.parametrize("task", [MultiLabelClassification, TokenMultiLabelClassification])
def test_a_word_is_either_missing_or_empty(task: type[MultiLabelClassification]) -> None:
    with pytest.raises(UserError, match="`empty` and `missing` both name '_'"):
        task(missing=["_", "NA"], empty="_")
