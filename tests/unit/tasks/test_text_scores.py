"""Scores of written texts: those of sacrebleu and torchmetrics, and of scripts that these leave out."""

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import rouge_score

from mtl_lightning.tasks.text_scores import TEXT_METRICS, rouge_l

WORDS = st.lists(st.sampled_from(["a", "b", "the", "cat.", "Cat", "3,5", "x-y"]), max_size=7).map(" ".join)


@settings(max_examples=40)
@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4))
def test_bleu_is_that_of_sacrebleu_whatever_is_written(rows: list[tuple[str, str, str]]) -> None:
    metric = TEXT_METRICS["bleu"]()
    for text, *references in rows:
        metric.update([text], [references])
    texts, *references = map(list, zip(*rows, strict=True))
    theirs = sacrebleu.corpus_bleu(texts, references, force=True).score
    assert metric.compute().item() * 100 == pytest.approx(theirs, abs=1e-3)


def test_texts_that_were_never_written_have_no_score() -> None:
    for make in TEXT_METRICS.values():
        metric = make()
        metric.update([], [])
        assert metric.compute().isnan()


def test_chinese_is_scored_by_characters() -> None:
    text, reference = "我们今天去学校上课。", "我们今天去学校。"
    found = {name: make() for name, make in TEXT_METRICS.items()}
    for metric in found.values():
        metric.update([text], [[reference]])
    for name, tokenize in {"bleu_zh": "zh", "bleu_char": "char"}.items():
        theirs = sacrebleu.corpus_bleu([text], [[reference]], tokenize=tokenize).score
        assert found[name].compute().item() * 100 == pytest.approx(theirs, abs=1e-3) and theirs > 50
    assert found["rouge_l"].compute().item() == pytest.approx(14 / 16)


def test_words_of_any_script_count_in_rouge() -> None:
    assert rouge_l("привет, мир", "Привет мир") == rouge_l("हिन्दी भाषा", "हिन्दी भाषा") == 1
    assert rouge_l("été", "êta") == rouge_l("мир", "мор") == 0


@settings(max_examples=40)
@given(WORDS, WORDS)
def test_rouge_of_english_is_that_of_torchmetrics(text: str, reference: str) -> None:
    assert rouge_l(text, reference) == rouge_score(text, reference, rouge_keys="rougeL")["rougeL_fmeasure"].item()
