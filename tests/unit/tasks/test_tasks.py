"""Tasks: labels, losses, metrics against independent implementations, decoding."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor
from torch.nn.functional import one_hot

from mtl_lightning.data.collation import stack
from mtl_lightning.encoders import Representation
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import (
    IGNORE,
    MultiLabelClassification,
    Regression,
    SequenceClassification,
    SpanCounts,
    SpanScore,
    Task,
    TokenClassification,
)
from mtl_lightning.training.evaluation import REPORT, Evaluation

TAGS = ["O", "B-a", "I-a", "B-b", "I-b", "B-c", "I-c"]
NO_LABEL = "-"
"""A word that has no label: as IGNORE in targets, as O on both sides for seqeval."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@st.composite
def tagged_sentences(draw: st.DrawFn) -> tuple[list[list[str]], list[list[str]]]:
    """Targets and predictions of some sentences: any order of tags, so also an I- that follows nothing."""
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    sentence = [st.lists(st.sampled_from([*TAGS, NO_LABEL]), min_size=n, max_size=n) for n in lengths]
    targets = [draw(tags) for tags in sentence]
    predictions = [[draw(st.sampled_from([tag, *TAGS])) for tag in tags] for tags in targets]
    return targets, [[TAGS[0] if tag == NO_LABEL else tag for tag in tags] for tags in predictions]


def tag_indices(sentences: Sequence[Sequence[str]], padding: int) -> Tensor:
    rows = [[IGNORE if tag == NO_LABEL else TAGS.index(tag) for tag in tags] for tags in sentences]
    longest = max(map(len, rows))
    return torch.tensor([row + [padding] * (longest - len(row)) for row in rows])


def for_seqeval(sentences: list[list[str]], targets: list[list[str]]) -> list[list[str]]:
    pairs = [zip(tags, wanted, strict=True) for tags, wanted in zip(sentences, targets, strict=True)]
    return [["O" if wanted == NO_LABEL else tag for tag, wanted in pair] for pair in pairs]


def built(task: Task, features: int = 4) -> Task:
    task.build(features)
    return task.eval()


def update(task: Task, logits: Tensor, targets: Tensor) -> dict[str, Any]:
    metrics = task.metrics()
    task.update(metrics, logits, targets)
    return dict(metrics.compute())


def logits_of(indices: Tensor, num_labels: int) -> Tensor:
    return 10.0 * one_hot(indices, num_labels)


# -- spans -------------------------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=200)
@given(tagged_sentences())
def test_span_scores_agree_with_seqeval(sentences: tuple[list[list[str]], list[list[str]]]) -> None:
    targets, predictions = sentences
    wanted, found = for_seqeval(targets, targets), for_seqeval(predictions, targets)
    for name, expected in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        score = SpanScore(TAGS, name)
        score.update(tag_indices(predictions, padding=1), tag_indices(targets, padding=IGNORE))
        assert float(score.compute()) == pytest.approx(expected(wanted, found, zero_division=0), abs=1e-6)


@settings(deadline=None, max_examples=200)
@given(tagged_sentences())
def test_span_counts_agree_with_seqeval_per_type(sentences: tuple[list[list[str]], list[list[str]]]) -> None:
    targets, predictions = sentences
    counts = SpanCounts(TAGS)
    counts.update(tag_indices(predictions, padding=2), tag_indices(targets, padding=IGNORE))
    hits, spurious, missed = (values.tolist() for values in counts.compute())
    wanted, found = for_seqeval(targets, targets), for_seqeval(predictions, targets)
    spans = any(tag != "O" for tags in wanted + found for tag in tags)  # without any, seqeval divides by zero
    report = classification_report(wanted, found, output_dict=True, zero_division=0) if spans else {}
    for i, name in enumerate(counts.types):
        row = report.get(name, {"support": 0, "precision": 0, "recall": 0, "f1-score": 0})
        assert hits[i] + missed[i] == row["support"]
        assert hits[i] / max(1, hits[i] + spurious[i]) == pytest.approx(row["precision"])
        assert hits[i] / max(1, hits[i] + missed[i]) == pytest.approx(row["recall"])
        assert 2 * hits[i] / max(1, 2 * hits[i] + spurious[i] + missed[i]) == pytest.approx(row["f1-score"])


def test_span_counts_add_over_batches() -> None:
    targets, predictions = tag_indices([["B-a", "I-a"], ["B-b", "O"]], 0), tag_indices([["B-a", "O"], ["B-b", "O"]], 0)
    together, apart = SpanCounts(TAGS), SpanCounts(TAGS)
    together.update(predictions, targets)
    for row in range(2):
        apart.update(predictions[row : row + 1], targets[row : row + 1])
    for a, b in zip(together.compute(), apart.compute(), strict=True):
        assert a.tolist() == b.tolist()
    assert [values.tolist() for values in apart.compute()] == [[0, 1, 0], [1, 0, 0], [1, 0, 0]]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(TAGS), min_size=1, max_size=8), st.lists(st.sampled_from(TAGS), min_size=8, max_size=8))
def test_decoded_spans_agree_with_the_counts(target: list[str], prediction: list[str]) -> None:
    task = built(TokenClassification(scheme="bio", labels=TAGS))
    prediction = prediction[: len(target)]
    mask = torch.ones(1, len(target), dtype=torch.bool)
    spans = []
    for tags in (target, prediction):
        (row,) = task.decode(logits_of(tag_indices([tags], 0), len(TAGS)), mask)
        assert row["labels"] == tags
        spans.append({(span["label"], span["start"], span["end"]) for span in row["spans"]})
    counts = SpanCounts(TAGS)
    counts.update(tag_indices([prediction], 0), tag_indices([target], 0))
    hits, spurious, missed = (int(values.sum()) for values in counts.compute())
    assert (hits, spurious, missed) == (len(spans[0] & spans[1]), len(spans[1] - spans[0]), len(spans[0] - spans[1]))


def test_spans_of_a_single_type_are_reported() -> None:
    task = built(TokenClassification(scheme="bio", labels=["O", "B-x", "I-x"]))
    targets = torch.tensor([[1, 2, 0, 1]])
    values = update(task, logits_of(torch.tensor([[1, 2, 0, 0]]), 3), targets)
    row = {name: float(value) for name, value in task.report(values[REPORT])["x"].items()}
    assert row == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2.0}


def test_decoding_leaves_out_padding() -> None:
    task = built(TokenClassification(scheme="bio", labels=TAGS))
    mask = torch.tensor([[True, True, True], [True, False, False]])
    rows = task.decode(logits_of(torch.tensor([[1, 2, 0], [3, 4, 4]]), len(TAGS)), mask)
    assert [row["labels"] for row in rows] == [["B-a", "I-a", "O"], ["B-b"]]
    places = [[(span["label"], span["start"], span["end"]) for span in row["spans"]] for row in rows]
    assert places == [[("a", 0, 2)], [("b", 0, 1)]]
    assert rows[0]["spans"][0]["score"] == pytest.approx(sum(rows[0]["probabilities"][:2]) / 2)
    assert [len(row["probabilities"]) for row in rows] == [3, 1]


@pytest.mark.parametrize("tag", ["X-a", "B", "I-", "b-a", "S-a"])
def test_tags_that_are_not_bio_are_refused(tag: str) -> None:
    refusal = f"tag '{tag}' is not BIO .*`scheme: tags`"
    with pytest.raises(UserError, match=refusal):
        TokenClassification(scheme="bio", labels=["O", tag])
    with pytest.raises(UserError, match=refusal):
        TokenClassification(scheme="bio").adapt([["O", tag]])


def test_bio_labels_are_completed() -> None:
    task = TokenClassification(scheme="bio")
    task.adapt([["I-b", None], None, ["B-a"]])
    assert task.adapted() == {"labels": ["O", "B-a", "I-a", "B-b", "I-b"]}


# -- missing labels ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scheme", "labels"), [("tags", ["a", "b", "c"]), ("bio", ["O", "B-x", "I-x", "B-y"])], ids=["tags", "bio"]
)
def test_token_labels_all_missing(scheme: Any, labels: list[str]) -> None:
    task = built(TokenClassification(scheme=scheme, labels=labels))
    assert task.encode(None) == []
    assert task.encode([None, "", None]) == [IGNORE] * 3
    logits, targets = torch.randn(2, 3, len(labels)), torch.full((2, 3), IGNORE)
    assert task.correct(logits, targets).isnan().all()
    values = update(task, logits, targets)
    assert all(float(row["support"]) == 0 for row in task.report(values.pop(REPORT)).values())
    assert all(float(value) == 0 for value in values.values())


@pytest.mark.parametrize(
    ("task", "missing"),
    [
        (SequenceClassification(["a", "b"]), None),
        (TokenClassification(labels=["a", "b"]), [None, None]),
        (MultiLabelClassification(["a", "b"]), None),
        (Regression(mean=0, std=1), None),
    ],
    ids=["sequence", "token", "multi-label", "regression"],
)
def test_evaluation_passes_over_tasks_without_a_label(task: Task, missing: Any) -> None:
    task = built(task)
    evaluation = Evaluation({"task": task, "other": built(SequenceClassification(["a", "b"]))})
    targets = {"task": stack([task.encode(missing)] * 3, task.missing), "other": torch.tensor([0, 1, 0])}
    features = Representation(torch.randn(3, 4), torch.randn(3, 2, 4), torch.ones(3, 2, dtype=torch.bool))
    logits = {"task": task(features), "other": torch.tensor([[1.0, 0], [0, 1.0], [0, 1.0]])}
    tasks = {"task": task, "other": built(SequenceClassification(["a", "b"]))}
    evaluation.update("data", tasks, logits, targets, {"task": 0, "other": 3})
    results = evaluation.compute(tasks)
    assert set(results.metrics) == {"other"}
    assert results.average == pytest.approx(2 / 3)


def evaluated(tasks: dict[str, Task], logits: Tensor, targets: Tensor, caplog: pytest.LogCaptureFixture) -> Any:
    """Results of two evaluations of the same batch, the second one's, and what was said in both."""
    evaluation = Evaluation(tasks)
    for _ in range(2):
        counts = {name: int((targets != IGNORE).sum()) for name in tasks}
        evaluation.update("data", tasks, dict.fromkeys(tasks, logits), dict.fromkeys(tasks, targets), counts)
        results = evaluation.compute(tasks)
        evaluation.warn_of_undefined(results, "val")
        evaluation.reset()
    return results, [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(("present", "absent"), [(0, "on"), (1, "off")])
def test_area_without_one_of_the_labels(present: int, absent: str, caplog: pytest.LogCaptureFixture) -> None:
    tasks = {
        "area": built(SequenceClassification(["off", "on"], main_metric="auroc")),
        "part": built(SequenceClassification(["off", "on"])),
    }
    logits = torch.tensor([[1.0, 0], [0, 1.0], [2.0, 0], [0, 1.0]])
    results, said = evaluated(tasks, logits, torch.tensor([present, present, present, IGNORE]), caplog)
    assert math.isnan(results.metrics["area"]["auroc"])
    assert results.average == results.metrics["part"]["accuracy"] == pytest.approx([2 / 3, 1 / 3][present])
    assert results.to_json()["area"]["auroc"] is None
    effect = "auroc is not defined there; it is NaN and counts for no average"
    if absent == "on":  # the positive label: there is nothing to find
        effect = "auroc, f1 are not defined there; they are NaN and count for no average"
    reason = f"no example of split 'val' has the label '{absent}'"
    assert said == [f"task '{name}': {reason}, so {effect}" for name in tasks]


def test_area_with_both_labels(caplog: pytest.LogCaptureFixture) -> None:
    tasks = {"area": built(SequenceClassification(["off", "on"], main_metric="auroc"))}
    logits = torch.tensor([[1.0, 0], [0, 1.0], [2.0, 0], [0, 3.0]])
    results, said = evaluated(tasks, logits, torch.tensor([0, 1, 1, 1]), caplog)
    assert (results.average, results.metrics["area"]["auroc"], said) == (pytest.approx(2 / 3), results.average, [])


def test_score_that_is_nan_by_the_model_s_fault_counts(caplog: pytest.LogCaptureFixture) -> None:
    class Lost(SequenceClassification):
        def update(self, metrics: Any, logits: Tensor, targets: Tensor) -> None:
            super().update(metrics, logits, targets)
            metrics["auroc"].compute = lambda: torch.tensor(math.nan)

    tasks = {
        "lost": built(Lost(["off", "on"], main_metric="auroc")),
        "other": built(SequenceClassification(["a", "b"])),
    }
    results, said = evaluated(tasks, torch.tensor([[1.0, 0], [0, 1.0]]), torch.tensor([0, 1]), caplog)
    assert math.isnan(results.average) and said == []


def test_missing_tag() -> None:
    task = TokenClassification(missing_tag="_")
    task.adapt([["a", "_"], None, ["b"]])
    assert task.adapted() == {"labels": ["a", "b"]}
    assert task.encode(["_", "b", None, "a"]) == [IGNORE, 1, IGNORE, 0]


def test_tags_given_as_a_text_are_refused() -> None:
    with pytest.raises(UserError, match="expected a list of tags, one a word, found 'a b'"):
        TokenClassification(labels=["a", "b"]).encode("a b")


# -- classes and label sets --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("task", "raw"),
    [
        (SequenceClassification(["sports", "politics"]), "sport"),
        (MultiLabelClassification(["sports", "politics"]), ["politics", "sport"]),
        (TokenClassification(labels=["sports", "politics"]), ["sport"]),
    ],
    ids=["sequence", "multi-label", "token"],
)
def test_unknown_label_names_the_nearest(task: Task, raw: Any) -> None:
    with pytest.raises(UserError, match=r"label 'sport' is not among .*2 labels.*did you mean 'sports'\?"):
        task.encode(raw)


def test_labels_are_those_of_the_training_split_sorted() -> None:
    task = SequenceClassification()
    task.adapt(iter(["b", None, "a", "", math.nan, "b", 3]))
    assert task.adapted() == {"labels": ["3", "a", "b"]}
    assert [task.encode(value) for value in ["b", 3, "3", None, "", math.nan]] == [2, 0, 0, IGNORE, IGNORE, IGNORE]


@pytest.mark.parametrize(
    "task",
    [SequenceClassification(), MultiLabelClassification(), TokenClassification()],
    ids=lambda t: type(t).__name__,
)
@pytest.mark.parametrize("values", [[], [None, None]], ids=["empty", "missing"])
def test_training_split_without_labels_is_refused(task: Task, values: list[Any]) -> None:
    with pytest.raises(UserError, match="needs at least two labels, found none"):
        task.adapt(values)


def test_label_named_twice_is_refused() -> None:
    with pytest.raises(UserError, match="names a label twice"):
        SequenceClassification(labels=["a", "b", "a"])


def test_label_names_may_be_numbers() -> None:
    assert SequenceClassification(labels=[1, 0]).encode("0") == SequenceClassification(labels=[1, 0]).encode(0) == 1
    with pytest.raises(UserError, match="tag '1' is not BIO"):
        TokenClassification("bio", labels=[1, 0])


def test_unknown_main_metric_is_refused() -> None:
    with pytest.raises(UserError, match=r"`main_metric`: unknown metric 'recal'; did you mean 'recall'\? Choose from"):
        SequenceClassification(labels=["a", "b", "c"], main_metric="recal").build(4)


@pytest.mark.parametrize("num_labels", [2, 4])
def test_report_of_classes_agrees_with_scikit_learn(num_labels: int) -> None:
    labels = [f"label{i}" for i in range(num_labels)]
    task = built(SequenceClassification(labels))
    logits, targets = torch.randn(50, num_labels), torch.randint(num_labels, (50,))
    targets[::7] = IGNORE
    present = targets != IGNORE
    expected = precision_recall_fscore_support(
        targets[present].numpy(), logits.argmax(-1)[present].numpy(), labels=list(range(num_labels)), zero_division=0
    )
    values = update(task, logits, targets)
    assert_report(task.report(values[REPORT]), labels, expected)
    f1 = expected[2][1] if num_labels == 2 else expected[2].mean()
    assert float(values["f1"]) == pytest.approx(f1, abs=1e-6)


def test_report_of_tags_agrees_with_scikit_learn() -> None:
    labels = ["a", "b", "c", "never"]
    task = built(TokenClassification(labels=labels))
    logits, targets = torch.randn(6, 9, 4), torch.randint(3, (6, 9))
    logits[..., 3] = -10
    targets[2, 4:] = IGNORE
    present = targets != IGNORE
    expected = precision_recall_fscore_support(
        targets[present].numpy(), logits.argmax(-1)[present].numpy(), labels=[0, 1, 2, 3], zero_division=0
    )
    assert_report(task.report(update(task, logits, targets)[REPORT]), labels, expected)


def test_report_of_several_labels_agrees_with_scikit_learn() -> None:
    labels = ["a", "b", "c"]
    task = built(MultiLabelClassification(labels, threshold=0.4))
    logits, targets = torch.randn(40, 3), torch.randint(2, (40, 3)).float()
    targets[::9] = math.nan
    present = ~targets.isnan().any(1)
    truth, found = targets[present].long(), (logits.sigmoid() > 0.4)[present].long()
    values = update(task, logits, targets)
    assert_report(task.report(values[REPORT]), labels, precision_recall_fscore_support(truth, found, zero_division=0))
    micro = precision_recall_fscore_support(truth, found, average="micro")[2]
    assert float(values["f1_micro"]) == pytest.approx(micro, abs=1e-6)


def assert_report(report: Any, labels: list[str], expected: Any) -> None:
    assert list(report) == labels
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [float(report[label][name]) for label in labels] == pytest.approx(list(values))


# -- several labels ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("separator", "raw"),
    [(",", "a,c"), (",", "c, a"), ("|", "a|c"), ("; ", "a; c"), (",", ["c", "a"]), (",", ("a", "c"))],
)
def test_multi_label_separators(separator: str, raw: Any) -> None:
    task = MultiLabelClassification(labels=["a", "b", "c"], separator=separator)
    assert task.encode(raw) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("raw", ["a,c,", " a ,, c", ["a", None, "c", ""]], ids=["last", "between", "in-a-list"])
def test_nothing_between_separators_is_no_label(raw: str) -> None:
    task = MultiLabelClassification()
    task.adapt([raw])
    assert task.adapted() == {"labels": ["a", "c"]}
    assert task.encode(raw) == [1.0, 1.0]


@pytest.mark.parametrize("raw", [None, "", math.nan], ids=["none", "empty-text", "nan"])
def test_multi_label_missing(raw: Any) -> None:
    assert all(math.isnan(value) for value in MultiLabelClassification(labels=["a", "b"]).encode(raw))


def test_multi_label_empty_list_is_a_label() -> None:
    task = MultiLabelClassification()
    task.adapt([["b"], [], None, "a,b"])
    assert task.adapted() == {"labels": ["a", "b"]}
    assert task.encode([]) == [0.0, 0.0]


def test_multi_label_decoding() -> None:
    task = built(MultiLabelClassification(["a", "b", "c"], threshold=0.6))
    rows = task.decode(torch.tensor([[0.0, 3.0, 2.0], [-1.0, -1.0, 0.0]]), None)
    assert [row["labels"] for row in rows] == [["b", "c"], []]
    assert rows[0]["probabilities"] == pytest.approx(torch.tensor([3.0, 2.0]).sigmoid().tolist())


# -- regression --------------------------------------------------------------------------------------------------------
def test_regression_standardises_its_loss_and_keeps_units_elsewhere() -> None:
    task = Regression()
    task.adapt(["1", None, 3.0, 8])
    assert task.adapted() == {"mean": 4.0, "std": pytest.approx(math.sqrt(26 / 3))}
    built(task)
    logits, targets = torch.tensor([[-0.5], [0.0], [1.5], [7.0]]), torch.tensor([*map(task.encode, (1, 3, 8, None))])
    std = math.sqrt(26 / 3)
    values = [4 - 0.5 * std, 4.0, 4 + 1.5 * std]
    errors = [value - target for value, target in zip(values, [1.0, 3.0, 8.0], strict=True)]
    assert float(task.loss(logits, targets)) == pytest.approx(sum((e / std) ** 2 for e in errors) / 3)
    metrics = update(task, logits, targets)
    assert float(metrics["rmse"]) == pytest.approx(math.sqrt(sum(e**2 for e in errors) / 3))
    assert float(metrics["mae"]) == pytest.approx(sum(map(abs, errors)) / 3)
    assert [row["value"] for row in task.decode(logits, None)][:3] == pytest.approx(values)


@pytest.mark.parametrize("value", ["abc", [1.0], math.inf, "-inf"], ids=str)
def test_regression_refuses_what_is_no_number(value: Any) -> None:
    with pytest.raises(UserError) as error:
        Regression(mean=0, std=1).encode(value)
    assert str(error.value) == f"expected a finite number, found {value!r}"


def test_regression_completes_what_the_config_leaves_open() -> None:
    task = Regression(mean=10.0)
    assert task.adapted() == {}
    task.adapt([1.0, 3.0])
    assert task.adapted() == {"mean": 10.0, "std": 1.0}


def test_regression_of_a_constant_keeps_its_unit() -> None:
    task = Regression()
    task.adapt([2.5, 2.5])
    assert task.adapted() == {"mean": 2.5, "std": 1.0}


@pytest.mark.parametrize("std", [0.0, -1.0, math.nan])
def test_regression_refuses_a_std_that_is_not_positive(std: float) -> None:
    with pytest.raises(UserError, match="`std` must be positive"):
        Regression(std=std)


@pytest.mark.parametrize(("metric", "higher"), [("pearson", True), ("rmse", False), ("mae", False)])
def test_direction_of_the_main_metric(metric: str, higher: bool) -> None:
    assert Regression(main_metric=metric).higher_is_better is higher


# -- all tasks right ---------------------------------------------------------------------------------------------------
def test_correct_is_nan_where_a_label_is_missing() -> None:
    nan = math.nan
    pooled = torch.tensor([[2.0, -1.0], [2.0, -1.0], [2.0, -1.0]])
    classes = SequenceClassification(["a", "b"]).correct(pooled, torch.tensor([0, 1, IGNORE]))
    several = MultiLabelClassification(["a", "b"]).correct(pooled, torch.tensor([[1.0, 0], [1.0, 1.0], [nan, nan]]))
    tags = torch.tensor([[0, 1], [0, 1], [0, 1], [0, 1]])
    words = TokenClassification(labels=["a", "b"]).correct(
        logits_of(tags, 2), torch.tensor([[0, 1], [0, 0], [0, IGNORE], [IGNORE, IGNORE]])
    )
    assert classes.tolist() == pytest.approx([1, 0, nan], nan_ok=True)
    assert several.tolist() == pytest.approx([1, 0, nan], nan_ok=True)
    assert words.tolist() == pytest.approx([1, 0, 1, nan], nan_ok=True)
    assert Regression(mean=0, std=1).correct(pooled[:, :1], torch.zeros(3)) is None


def test_head_needs_features_of_its_level() -> None:
    task = built(TokenClassification(labels=["a", "b"]))
    with pytest.raises(UserError, match="TokenClassification reads tokens features, which this encoder or input lacks"):
        task(Representation(pooled=torch.randn(2, 4)))
