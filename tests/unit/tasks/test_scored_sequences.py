"""Choices, rankings and similarities: labels, losses and metrics by closed forms and other implementations."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import ndcg_score
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG

from mtl_lightning.encoders import Representation
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.words import listed_words
from mtl_lightning.tasks import IGNORE, MultipleChoice, Ranking, SimilarityRegression
from mtl_lightning.tasks.ranking_losses import RANKING_LOSSES
from mtl_lightning.tasks.ranking_metrics import RankingScore, hit_rate, normalized_dcg, reciprocal_rank
from mtl_lightning.training.empty_states import give_types

SEQUENCES = torch.tensor([[0, 1, 2], [3, 4, -1]])
THREE, TWO = {"num_sequences": 3}, {"num_sequences": 2}
NAN = math.nan


def numbers(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def features(pooled: Tensor, sequences: Tensor = SEQUENCES) -> Representation:
    return Representation(pooled=pooled, given={"sequences": sequences})


# -- choices ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "value", "place"),
    [
        (0, 2, 2),
        (1, "2.0", 1),
        ("A", "C", 2),
        ("a", " b ", 1),
        (0, None, IGNORE),
        (0, ("y", ["x", "y"]), 1),
        (0, ("x", "x", "y"), 0),
        (0, ("", "x", "y"), IGNORE),
    ],
)
def test_a_label_is_a_number_a_letter_or_a_text(first: Any, value: Any, place: int) -> None:
    assert MultipleChoice(first).encode(value) == place


@pytest.mark.parametrize(
    ("first", "value", "message"),
    [
        (1, 0, r"expected the number of a choice, where the first is 1 \(`first`\), found 0"),
        (0, "yes", "found 'yes'; if labels are the texts of choices, name the column of these too"),
        (0, 1.5, "found 1.5"),
        (0, True, "found True"),
        ("A", "1", "where the first is A"),
        (0, ("z", ["xy", "ab"]), "'z' is none of the 2 choices; choose from ab, xy"),
        (0, ("x", "x", "y", "x"), "'x' is choice 1 and 3; take one of them out"),
    ],
)
def test_what_is_no_choice(first: Any, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MultipleChoice(first).encode(value)


def test_a_label_must_fit_the_choices_of_its_example() -> None:
    task = MultipleChoice("A")
    assert task.fit(2, THREE) == 2 and task.fit(IGNORE, {"num_sequences": 1}) == IGNORE
    with pytest.raises(UserError, match="the label is C, but the 2 choices are A to B; if the first one is not A, set"):
        task.fit(2, TWO)
    with pytest.raises(UserError, match="there is a single choice; give at least two, or no label"):
        task.fit(0, {"num_sequences": 1})


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_torchs_of_each_example_alone(smoothing: float) -> None:
    logits, targets = numbers((3, 3)), torch.tensor([2, 0, IGNORE])
    logits[1, 2] = -math.inf
    expected = sum(
        cross_entropy(row[None], target[None], label_smoothing=smoothing)
        for row, target in [(logits[0], targets[0]), (logits[1, :2], targets[1])]
    )
    found = MultipleChoice(label_smoothing=smoothing).loss(logits, targets)
    assert torch.allclose(found, torch.as_tensor(expected) / 2, rtol=1e-12)


def test_choices_that_are_not_there_get_neither_probability_nor_gradient() -> None:
    task = MultipleChoice(1, dropout=0.0).double()
    task.build(4)
    task.double()
    pooled = numbers((2, 3, 4)).requires_grad_()
    logits = task(features(pooled))
    (gradient,) = torch.autograd.grad(task.loss(logits, torch.tensor([1, 1])), pooled)
    assert gradient.isfinite().all() and not gradient[1, 2].any() and gradient[1, 1].any()
    first, second = task.decode(logits, None)
    assert len(first["probabilities"]) == 3 and len(second["probabilities"]) == 2
    assert sum(second["probabilities"]) == pytest.approx(1) and second["probability"] == max(second["probabilities"])
    placed = task.place(second, listed_words(["x", "y"]))
    assert placed["text"] == "xy"[placed["label"] - 1]


def test_accuracy_and_reciprocal_rank_of_choices() -> None:
    task = MultipleChoice(metrics=["accuracy", "mrr"])
    metrics = task.metrics()
    logits = torch.tensor([[0.1, 0.7, 0.2], [0.3, 0.1, -math.inf], [0.5, 0.4, 0.1]])
    task.update(metrics, logits, torch.tensor([1, 1, IGNORE]))
    assert {name: float(value) for name, value in metrics.compute().items()} == {"accuracy": 0.5, "mrr": 0.75}
    assert task.correct(logits, torch.tensor([1, 1, IGNORE])).nan_to_num(nan=9).tolist() == [1, 0, 9]


# -- rankings ---------------------------------------------------------------------------------------------------------
def test_relevances_are_one_a_candidate() -> None:
    task = Ranking(missing="?")
    assert task.fit(task.encode([0, "2.5"]), TWO) == [0.0, 2.5]
    found = task.fit(task.encode((1, "?", None)), TWO)
    assert found[0] == 1 and found[1] != found[1] and len(found) == 2
    assert [value == value for value in task.fit(task.encode(None), THREE)] == [False] * 3
    assert [task.count(each) for each in ([0.0, 1.0, NAN], [1.0, 1.0], [NAN, 1.0], [NAN])] == [1, 0, 0, 0]
    assert [task.count_irregular(each) for each in ([0.0, 1.0], [1.0, 1.0], [NAN, NAN])] == [0, 1, 0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1 0", "expected a list of relevances, one a candidate, found '1 0'"),
        ([1, -1], r"relevance 2: expected a number, 0 \(irrelevant\) or above, found -1"),
        ([1, "best"], "relevance 2: expected a number"),
        ([1, 2, 3], "3 relevances for 2 candidates; give one each, null where it is missing"),
        ([1], "1 relevances for 2 candidates"),
    ],
)
def test_what_are_no_relevances(value: Any, message: str) -> None:
    task = Ranking()
    with pytest.raises(UserError, match=message):
        task.fit(task.encode(value), TWO)


def test_losses_by_their_formulas() -> None:
    scores, relevances = numbers((1, 4)), torch.tensor([[2.0, 0.0, 1.0, NAN]], dtype=torch.float64)
    known = ~relevances.isnan()
    s, y = scores[0, :3], relevances[0, :3]
    pairs = [(0, 1), (0, 2), (2, 1)]
    expected = {
        "softmax": -(y / 3 * s.log_softmax(0)).sum(),
        "listnet": -(y.softmax(0) * s.log_softmax(0)).sum(),
        "ranknet": sum(torch.log1p((s[j] - s[i]).exp()) for i, j in pairs) / len(pairs),
    }
    for name, loss in RANKING_LOSSES.items():
        assert torch.allclose(loss(scores, relevances, known), torch.as_tensor(expected[name]), rtol=1e-12), name


@pytest.mark.parametrize("objective", RANKING_LOSSES)
def test_unknown_candidates_and_queries_that_say_nothing_do_not_count(objective: Any) -> None:
    task = Ranking(objective)
    logits, targets = numbers((4, 3)), torch.tensor([[1.0, 0, NAN], [2, 2, NAN], [NAN, NAN, NAN], [NAN, 3, 0.5]])
    logits[1, 2] = -math.inf
    logits.requires_grad_()
    loss = task.loss(logits, targets.double())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient != 0).tolist() == [[True, True, False], [False] * 3, [False] * 3, [False, True, True]]
    parts = [task.loss(logits[i : i + 1], targets.double()[i : i + 1]) for i in (0, 3)]
    assert torch.allclose(loss, torch.stack(parts).mean(), rtol=1e-12)
    assert task.loss(logits[1:3], targets[1:3]) == 0


QUERIES = st.lists(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=2, max_size=8, unique_by=lambda pair: pair[0]),
    min_size=1,
    max_size=5,
).filter(lambda rows: all(len({y for _, y in row}) > 1 for row in rows))


@settings(deadline=None, max_examples=25)
@given(QUERIES, st.integers(1, 5))
def test_metrics_agree_with_torchmetrics_and_scikit_learn(rows: list[list[tuple[int, int]]], top: int) -> None:
    width = max(map(len, rows))
    scores, relevances = torch.full((2, len(rows), width), NAN)
    for place, row in enumerate(rows):
        scores[place, : len(row)], relevances[place, : len(row)] = torch.tensor(row).float().T / torch.tensor(
            [[41], [1]]
        )
    known = ~scores.isnan()
    queries = torch.arange(len(rows)).unsqueeze(1).expand(-1, width)[known]
    for score, other in (
        (reciprocal_rank, RetrievalMRR(top_k=top)),
        (hit_rate, RetrievalHitRate(top_k=top)),
        (normalized_dcg, RetrievalNormalizedDCG(top_k=top)),
    ):
        metric = RankingScore(score, top)
        metric.update(scores, relevances)
        truth = relevances[known].long() if score is normalized_dcg else relevances[known] > 0
        assert metric.compute() == pytest.approx(float(other(scores[known], truth, queries)), abs=1e-6)
    expected = [ndcg_score([[y for _, y in row]], [[s for s, _ in row]], k=top) for row in rows]
    assert normalized_dcg(scores, relevances, top).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_model_that_scores_all_alike_gains_nothing_by_the_order_of_the_data() -> None:
    scores, relevances = torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]])
    assert reciprocal_rank(scores, relevances).item() == pytest.approx(1 / 3)
    assert normalized_dcg(scores, relevances).item() == pytest.approx(ndcg_score(relevances, scores))


def test_ranking_metrics_leave_out_what_is_not_known() -> None:
    task = Ranking(metrics=["mrr", "ndcg_at_2", "hit_rate_at_3"], main_metric="mrr")
    metrics = task.metrics()
    logits = torch.tensor([[0.9, 0.2, 0.3, -math.inf], [0.1, 0.2, 0.0, 0.3]])
    task.update(metrics, logits, torch.tensor([[NAN, 1, 0, NAN], [2, 2, 2, 2]]))
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found == pytest.approx({"mrr": 0.5, "ndcg_at_2": 1 / math.log2(3), "hit_rate_at_3": 1})
    with pytest.raises(UserError, match=r"`metrics`: unknown metric 'ndcg_at_0'; did you mean 'ndcg_at_10'\?"):
        Ranking(metrics=["ndcg_at_0"]).metrics()


def test_a_ranking_is_decoded_best_first() -> None:
    task = Ranking()
    first, second = task.decode(torch.tensor([[0.1, 0.9, 0.5], [0.1, 0.2, -math.inf]]), None)
    assert first["ranking"] == [1, 2, 0] and second == {"ranking": [1, 0], "scores": pytest.approx([0.2, 0.1])}
    assert task.place(first, listed_words(["x", "y", "z"]))["texts"] == ["y", "z", "x"]


# -- similarity -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("score", ["cosine", "euclidean", "difference"])
def test_similarity_is_symmetric_and_differentiable_where_texts_are_equal(score: Any) -> None:
    task = SimilarityRegression(score, mean=3.0, std=2.0)
    task.build(4)
    task.double()
    pooled = numbers((3, 2, 4))
    pooled[2, 1] = pooled[2, 0]
    pooled.requires_grad_()
    sequences = torch.arange(6).view(3, 2)
    logits = task(features(pooled, sequences))
    assert torch.allclose(logits, task(features(pooled.flip(1), sequences)), rtol=1e-12)
    (gradient,) = torch.autograd.grad(logits.sum(), pooled)
    assert logits.shape == (3, 1) and gradient.isfinite().all() and gradient[0].any()


@pytest.mark.parametrize("score", ["cosine", "euclidean", "difference"])
def test_similarity_with_parameters_of_half_precision(score: Any) -> None:
    task = SimilarityRegression(score, mean=3.0, std=2.0)
    task.build(4)
    logits = task.bfloat16()(features(numbers((3, 2, 4)).bfloat16(), torch.arange(6).view(3, 2)))
    logits.sum().backward()
    assert logits.isfinite().all() and all(p.grad is not None and p.grad.any() for p in task.parameters())


def test_similarity_scores_before_training() -> None:
    pooled = torch.tensor([[[1.0, 0], [2, 0]], [[1, 0], [0, 3]], [[0, 4], [3, 0]]])
    expected = {"cosine": [2.0, -2.0, -2.0], "euclidean": [-1, -math.sqrt(10), -5]}
    for score, values in expected.items():
        task = SimilarityRegression(score, mean=0.0, std=1.0)  # type: ignore[arg-type]
        task.build(2)
        assert task(features(pooled, torch.arange(6).view(3, 2)))[:, 0].tolist() == pytest.approx(values)


def test_correlations_are_scipys() -> None:
    task = SimilarityRegression(mean=1.0, std=2.0)
    metrics, logits, targets = task.metrics(), numbers((20, 1)).float(), numbers((21,)).float()[1:]
    task.update(metrics, logits, targets)
    found = metrics.compute()
    assert set(found) == {"pearson", "spearman", "rmse", "mae"}
    assert float(found["pearson"]) == pytest.approx(pearsonr(logits[:, 0], targets)[0], abs=1e-5)
    assert float(found["spearman"]) == pytest.approx(spearmanr(logits[:, 0], targets)[0], abs=1e-5)


def test_a_process_without_labels_has_the_states_of_others() -> None:
    task = SimilarityRegression(mean=1.0, std=2.0)
    metrics, others = task.metrics(), task.metrics()
    give_types(metrics, task)
    task.update(others, numbers((3, 1)).float(), numbers((3,)).float())
    states, expected = metrics["spearman"].metric_state, others["spearman"].metric_state
    assert {name: (found[0].dtype, found[0].shape[1:]) for name, found in states.items()} == {
        name: (found[0].dtype, found[0].shape[1:]) for name, found in expected.items()
    }


def test_similarity_takes_over_what_was_trained_with_its_score() -> None:
    trained, same, other = (SimilarityRegression(each, 1.0, 2.0) for each in ("cosine", "cosine", "euclidean"))
    for task in (trained, same, other):
        task.build(4)
    assert same.inherited(trained.state_dict(), trained.adapted())[1] == "taken"
    taken, said = other.inherited(trained.state_dict(), trained.adapted())
    assert taken == {} and said == "fresh, it was trained with the score 'cosine'"


def test_similarity_compares_two_texts() -> None:
    task = SimilarityRegression(mean=0.0, std=1.0)
    with pytest.raises(UserError, match="compares two texts, found 3; map two columns to the input `texts`"):
        task.fit(1.0, THREE)
    task.build(4)
    with pytest.raises(UserError, match="compares two texts, found 3"):
        task(features(torch.zeros(2, 3, 4)))
    with pytest.raises(UserError, match="compares two texts, found fewer"):
        task.eval()(features(torch.zeros(2, 2, 4), torch.tensor([[0, 1], [2, -1]])))


# -- settings ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultipleChoice(first="AB"), "`first` must be a number or a letter, found 'AB'"),
        (lambda: Ranking("listnett"), "`objective` is the unknown 'listnett'; did you mean 'listnet'?"),
        (lambda: SimilarityRegression("cos"), "`score` is the unknown 'cos'; did you mean 'cosine'?"),
    ],
)
def test_settings_that_are_none(make: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value) == message
