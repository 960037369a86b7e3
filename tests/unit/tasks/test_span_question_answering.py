"""Answers in contexts: windows, places of tokens, loss, scores, and what is refused."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from mtl_lightning.data.collation import stack
from mtl_lightning.encoders import PerceptronEncoder, Representation
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import IGNORE, SpanQuestionAnswering
from mtl_lightning.tasks.answer_scorer import AnswerLogits
from mtl_lightning.tasks.answer_scores import exact_match, token_f1
from mtl_lightning.tasks.text_scores import MeanOfTexts
from mtl_lightning.testing import check_task
from mtl_lightning.training.contents import refuse_other_tasks
from mtl_lightning.training.reading import read_by_heads

COLUMNS = {"text": ["who?", "where is it", "why"], "context": ["Ada met Alan", "In Oslo, as you know, it rains", "no"]}
ANSWERS = [[{"text": "Alan", "start": 8}], {"text": ["Oslo", "Oslo,"], "answer_start": [3, 3]}, []]


def processor(max_length: int = 24, overlap: int | None = 4) -> TextProcessor:
    return TextProcessor(character_tokenizer("ascii"), max_length, overlap=overlap)


def rows(encoded: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]


def batch(answers: Any = ANSWERS) -> tuple[SpanQuestionAnswering, dict[str, torch.Tensor], torch.Tensor]:
    task, reader = SpanQuestionAnswering(), processor()
    examples = rows(reader.encode(COLUMNS))
    fitted = [task.fit(task.encode(answer), each) for answer, each in zip(answers, examples, strict=True)]
    return task, reader.collate(examples), stack(fitted, IGNORE)


def logits(task: SpanQuestionAnswering, inputs: dict[str, torch.Tensor], seed: int = 0) -> AnswerLogits:
    torch.manual_seed(seed)
    task.build(6)
    task.eval()
    shape = inputs["word_starts"].shape
    made = Representation(torch.randn(shape[0], 6), torch.randn(*shape, 6), inputs["word_starts"] >= 0)
    return task(read_by_heads({"t": made}, {"t": task}, inputs)["t"])


def test_contract() -> None:
    reader, answers = processor(), [*ANSWERS, None]
    columns = {name: [*values, values[0]] for name, values in COLUMNS.items()}
    examples = rows(reader.encode(columns))
    inputs = reader.collate(examples)
    index = inputs["sequences"]
    longest = [{**each, "word_starts": [0] * inputs["char_starts"].shape[1]} for each in examples]
    check_task(SpanQuestionAnswering(), answers, 8, longest, {**inputs, "sequences": index})


@settings(max_examples=40, deadline=None)
@given(st.text("ab c.", min_size=1, max_size=80).filter(str.strip), st.integers(0, 12), st.integers(18, 40))
def test_windows_cover_the_context(context: str, overlap: int, max_length: int) -> None:
    (example,) = rows(processor(max_length, overlap).encode({"text": ["ab"], "context": [context]}))
    covered = set()
    for ids, starts, ends in zip(example["input_ids"], example["char_starts"], example["char_ends"], strict=True):
        assert len(ids) <= max_length
        covered |= {place for start, end in zip(starts, ends, strict=True) for place in range(start, end)}
    assert {place for place, letter in enumerate(context) if not letter.isspace()} <= covered
    windows = [set(starts) for starts in example["char_starts"]]
    assert all(len(one & other) >= overlap for one, other in pairwise(windows))
    assert "".join(map(chr, example["context"])) == context


def test_loss_is_the_likelihood_of_all_right_answers() -> None:
    task, inputs, targets = batch()
    found = logits(task, inputs)
    expected = []
    for row, (starts, ends) in enumerate([({8}, {12}), ({3}, {7, 8}), (set(), set())]):
        sides = []
        for scores, places, wanted in (
            (found.starts, found.char_starts, starts),
            (found.ends, found.char_ends, ends),
        ):
            there = found.char_ends[row].flatten() > 0
            flat = torch.cat([scores[row].flatten()[there], found.none[row : row + 1]])
            right = [*(place in wanted for place in places[row].flatten()[there].tolist()), not wanted]
            assert any(right)
            sides.append(-flat.softmax(0)[torch.tensor(right)].sum().log())
        expected.append(sum(sides) / 2)
    torch.testing.assert_close(task.loss(found, targets), torch.stack(expected).mean())
    without = targets.clone()
    without[1] = IGNORE
    torch.testing.assert_close(task.loss(found, without), torch.stack([expected[0], expected[2]]).mean())


def test_the_best_answer_lies_within_one_window() -> None:
    task, inputs, targets = batch()
    found = logits(task, inputs)
    starts, ends = torch.full_like(found.starts, -30), torch.full_like(found.ends, -30)
    starts[found.char_starts == 8] = ends[found.char_ends == 12] = 3.0
    decoded = task.decode(found._replace(starts=starts, ends=ends, none=torch.tensor([-60.0, -60.0, 9.0])), None)
    assert (decoded[0]["answer"], decoded[0]["start"], decoded[0]["end"]) == ("Alan", 8, 12)
    assert decoded[0]["probability"] == pytest.approx(1.0, abs=1e-3)
    assert (decoded[2]["answer"], decoded[2]["start"]) == ("", None) and decoded[2]["no_answer"] > 0.99
    metrics = task.metrics()
    forced = found._replace(starts=starts, ends=ends, none=torch.tensor([-60.0, -60.0, 9.0]))
    task.update(metrics, forced, targets)
    assert metrics.compute()["exact_match"].item() == pytest.approx(2 / 3)
    right = task.correct(forced, targets)
    assert right is not None and right.tolist() == [1, 0, 1]
    task.max_answer = 2
    shorter = task.decode(forced, None)[0]
    assert shorter["end"] - shorter["start"] <= 2


def test_what_was_trained_for_shorter_answers_gives_longer_ones() -> None:
    task, other = SpanQuestionAnswering(max_answer=8), SpanQuestionAnswering(max_answer=16)
    for each in (task, other):
        each.build(6)
    taken, said = other.inherited(task.state_dict(), task.adapted())
    assert said == "taken" and taken.keys() == task.state_dict().keys() and taken
    refuse_other_tasks({"qa": task.adapted()}, {"qa": other})


@pytest.mark.parametrize("longest", [1, 3, 64])
def test_no_span_of_a_window_is_better(longest: int) -> None:
    task, inputs, _ = batch()
    found = AnswerLogits(*(each.detach() for each in logits(task, inputs)))._replace(none=torch.full((3,), -60.0))
    task.max_answer = longest
    starts, ends = found.logs(found.starts), found.logs(found.ends)
    number, length = found.starts.shape[1:]
    for row, decoded in enumerate(task.decode(found, None)):
        spans = [
            (float(starts[row, n * length + i] + ends[row, n * length + j]), n, i, j)
            for n in range(number)
            for i in range(length)
            for j in range(i, min(i + longest, length))
        ]
        _, n, i, j = max(spans)
        assert (decoded["start"], decoded["end"]) == (found.char_starts[row, n, i], found.char_ends[row, n, j])


TEXTS = st.sampled_from(["the cat", "The cat!", "a cat, sat", "sat", "on an old mat", "mat on", "x"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=5))
def test_scores_are_those_of_squads_script(pairs: list[tuple[str, list[str]]]) -> None:
    answers, right = [answer for answer, _ in pairs], [each for _, each in pairs]
    theirs = squad(
        [{"prediction_text": answer, "id": str(i)} for i, answer in enumerate(answers)],
        [{"answers": {"text": each, "answer_start": [0] * len(each)}, "id": str(i)} for i, each in enumerate(right)],
    )
    for score, name in ((exact_match, "exact_match"), (token_f1, "f1")):
        metric = MeanOfTexts(score)
        metric.update(answers, right)
        assert metric.compute().item() * 100 == pytest.approx(theirs[name].item(), abs=1e-4)


def test_no_answer_scores_as_in_squad_2() -> None:
    assert (token_f1("", ""), token_f1("", "x"), token_f1("the", "x"), exact_match("", "")) == (1, 0, 0, 1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([{"text": "Alan", "start": 7}], "'Alan' does not stand in the context at character 7 .* where ' Ala' stands"),
        (["Eva"], "'Eva' does not stand in the context anywhere"),
        ([{"text": "Alan", "start": -1}], "expected answers {text, start}, start"),
        ([3], "expected answers {text, start}, start"),
        ({"text": ["a", "b"], "answer_start": [1]}, "there are 2 answers, but 1 places"),
        ({"text": ["Ada"], "answer_start": 0}, "their places must be one too, found 0"),
        ({"text": ["Ada"], "answer_start": 3}, "their places must be one too, found 3"),
    ],
)
def test_answers_that_are_refused(answer: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        batch([answer, [], []])


def test_answers_without_places_and_with_spaces() -> None:
    task, (example, *_) = SpanQuestionAnswering(), rows(processor().encode(COLUMNS))
    for raw in ("Alan", [" Alan "], [{"text": " Alan", "start": 7}], {"text": "Alan", "answer_start": 8}):
        assert task.fit(task.encode(raw), example) == [[8, 12]]
    assert task.in_words(torch.tensor([[8, 12]])) == "characters 8 to 12"
    assert task.encode(None) is None and task.encode(" ") is None


def test_settings_and_inputs_that_are_refused() -> None:
    with pytest.raises(UserError, match="`overlap` must be at least 0"):
        processor(8, 8)
    with pytest.raises(UserError, match="the question has 26 tokens, which leaves no room"):
        processor().encode({"text": ["x" * 26], "context": ["a"]})
    with pytest.raises(UserError, match="give `context` with the question in `text`; found context"):
        processor().encode({"context": ["a"]})
    with pytest.raises(UserError, match="`max_answer` must be at least 1"):
        SpanQuestionAnswering(max_answer=0)
    with pytest.raises(UserError, match="of which PerceptronEncoder has none"):
        SpanQuestionAnswering().meet(PerceptronEncoder(2, [3]))
    assert math.isfinite(processor(32, None).plain.windows.overlap)
