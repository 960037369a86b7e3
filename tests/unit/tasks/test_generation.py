"""What a language model writes: the same with and without a cache, its options, and how texts are scored."""

from functools import partial
from typing import Any

import pytest
import sacrebleu
import torch
from own_metrics import NotReversed, same_length, says_more
from tiny import LLAMA
from torchmetrics.text import CHRFScore

from mtl_lightning.data.collation import stack
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.encoders.generation import prompts_of
from mtl_lightning.encoders.prompt_cache import behind
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import MMoE
from mtl_lightning.tasks import CausalLM, SequenceClassification
from mtl_lightning.tasks.references import with_references
from mtl_lightning.tasks.text_scores import TEXT_METRICS
from mtl_lightning.training.module import MultiTaskModule

GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}
PROMPTS = ["ab", "c", "defg"]
TEXTS = [("the old cat sat on the mat", "the cat sat on the mat"), ("a b c d e", "a b c d e"), ("x y", "z")]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def encoder(config: dict[str, Any] = LLAMA, **settings: Any) -> TransformerEncoder:
    options = {"config": config, "tokenizer": "characters:ascii", "max_length": 16, **settings}
    return TransformerEncoder(**options).eval()


def batch(of: TransformerEncoder, **columns: Any) -> dict[str, torch.Tensor]:
    encoded = of.processor.encode({"prompt": PROMPTS, **columns})
    return of.processor.collate([dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)])


def alone(of: TransformerEncoder, prompt: list[int], number: int) -> list[int]:
    """The most probable tokens behind a single prompt, up to the end, each found without a cache."""
    ids, end = list(prompt), of.processor.conversations.end
    while len(ids) < len(prompt) + number and end not in ids[len(prompt) :]:
        hidden = of.backbone(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        ids.append(int(of.output_embedding()(hidden).argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("settings", [{}, {"packing": True}, {"config": GPT2}], ids=["llama", "packed", "gpt2"])
@pytest.mark.parametrize("completions", [None, ["xyz", "y", None]], ids=["prompts", "answered"])
def test_batches_with_a_cache_write_what_each_prompt_alone_does(settings: Any, completions: Any) -> None:
    of = encoder(**settings)
    inputs = batch(of, **({} if completions is None else {"completion": completions}))
    found = of.writer({"max_new_tokens": 7})(inputs).tolist()
    for i, length in enumerate(inputs["prompt_length"][:, 0].tolist()):
        wanted = alone(of, inputs["input_ids"][i, :length].tolist(), 7)
        assert found[i][: len(wanted)] == wanted
        assert set(found[i][len(wanted) :]) <= {of.processor.conversations.end}


def test_prompts_end_together() -> None:
    inputs = {"input_ids": torch.tensor([[5, 6, 7, 0], [8, 9, 0, 0]]), "prompt_length": torch.tensor([[3], [1]])}
    ids, real = prompts_of(inputs)
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]] and real.tolist() == [[True] * 3, [False, False, True]]


def test_sampling_depends_on_the_seed_alone() -> None:
    of = encoder()
    of.output_embedding()
    state = torch.get_rng_state()
    sample = of.writer({"max_new_tokens": 8, "do_sample": True, "temperature": 2.0})
    first = sample(batch(of))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(sample(batch(of)), first)
    torch.manual_seed(1)
    assert not torch.equal(sample(batch(of)), first)


def test_no_more_is_written_than_the_model_has_positions_for() -> None:
    of = encoder(max_length=40)
    assert of.writer({"max_new_tokens": 99})(batch(of)).shape[1] <= 40 - 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_tokens": 3}, "unknown option 'max_tokens'"),
        ({"eos_token_id": 3}, "unknown option 'eos_token_id'"),
        ({"max_new_tokens": 0}, "`generation.max_new_tokens` must be a number from 1 on, found 0"),
        ({"num_return_sequences": 3, "do_sample": True}, "`generation.num_return_sequences` must be 1, .* found 3"),
        ({"do_sample": True, "top_p": 2}, "`generation.top_p` must lie between 0 and 1, found 2"),
        ({"do_sample": True, "temperature": -1}, "`generation`: `temperature` .* strictly positive"),
        ({"min_new_tokens": 5, "max_new_tokens": 3}, "`generation.min_new_tokens` is 5, but at most 3 are written"),
        ({"num_beams": 0}, "`generation`: "),
        ({"num_beams": "two"}, "`generation`: "),
        ({"repetition_penalty": 0}, "`generation`: `penalty` has to be a strictly positive float"),
        ({"stop_strings": ["."]}, "`generation`: .*stop"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        CausalLM(generation=options).meet(encoder())


def test_a_sharing_that_changes_features_is_refused() -> None:
    tasks: Any = {"a": CausalLM(), "b": CausalLM()}
    with pytest.raises(UserError, match=r"model\.sharing: task 'a' writes with the encoder as it is"):
        MultiTaskModule(encoder(), tasks, sharing=MMoE).build()


def test_one_pass_serves_all_heads_and_one_text_all_tasks_that_write_alike() -> None:
    def task(number: int) -> CausalLM:
        return CausalLM(generation={"max_new_tokens": number, "min_new_tokens": number})

    tasks: Any = {"a": task(3), "b": task(3), "other": task(5), "kind": SequenceClassification(["x", "y"])}
    model = MultiTaskModule(encoder(), tasks)
    model.build()
    passes: list[int] = []
    model.encoder.backbone.register_forward_hook(lambda *call: passes.append(1))

    def counted(*names: str) -> tuple[int, Any]:
        passes.clear()
        (row,) = model.predict({"prompt": ["ab"]}, tasks=names or None)
        return len(passes), row

    assert counted("kind")[0] == 1
    (number, alone), (both, row) = counted("a"), counted("a", "kind", "b")
    assert number == both == 1 + 3, "the heads' pass, and one for each token that is written"
    assert row["a"] == row["b"] == alone["a"] and set(row) == {"a", "b", "kind"}
    number, row = counted()
    assert number == 1 + 3 + 5 and set(row) == set(tasks)
    assert row["other"] == counted("other")[1]["other"]


# -- behind prompts that were read already -----------------------------------------------------------------------------
@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("completions", [None, ["xyz", "y", None]], ids=["prompts", "answered"])
@pytest.mark.parametrize(
    "options", [{}, {"do_sample": True, "temperature": 3.0, "top_k": 9}], ids=["greedy", "sampled"]
)
def test_what_is_kept_of_prompts_changes_nothing(config: Any, completions: Any, options: dict[str, Any]) -> None:
    of = encoder(config)
    inputs = batch(of, **({} if completions is None else {"completion": completions}))
    write = of.writer({"max_new_tokens": 7, **options})
    of.keeps = True
    kept = of(inputs).kept
    assert of.can_keep and write.can_go_on and kept is not None
    for _ in range(2):  # two tasks
        assert torch.equal(write(inputs, kept), write(inputs))


def test_an_empty_prompt_shows_nothing_of_the_answer() -> None:
    ids, mask = behind({"input_ids": torch.tensor([[7, 8], [3, 4]]), "prompt_length": torch.tensor([[0], [2]])})
    assert mask.tolist() == [[0, 0, 0], [1, 0, 1]]
    assert ids.tolist() == [[0, 0, 0], [3, 4, 4]]


def test_a_prompt_is_read_once_by_all_heads_and_by_what_writes() -> None:
    writes: Any = {"max_new_tokens": 2, "min_new_tokens": 2}
    tasks: Any = {
        "a": CausalLM(generation=writes),
        "other": CausalLM(generation={**writes, "repetition_penalty": 2.0}),
        "kind": SequenceClassification(["x", "y"]),
    }
    model = MultiTaskModule(encoder(), tasks).eval()
    model.build()
    sizes: list[int] = []
    model.encoder.backbone.register_forward_pre_hook(
        lambda module, args, given: sizes.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    model.predict({"prompt": ["abcd"]}, tasks=["a", "kind"])
    assert sizes == [5, 1, 1]
    sizes.clear()
    model.predict({"prompt": ["abcd"]}, tasks=["other"])
    assert sizes == [5, 5, 1], "what depends on the prompt's own tokens reads it again"


@pytest.mark.parametrize(
    "config",
    [
        {**LLAMA, "model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 8},
        {"model_type": "mpt", "d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 40},
    ],
    ids=["a window", "places that count padding"],
)
def test_a_model_that_would_read_something_else_reads_prompts_again(config: dict[str, Any]) -> None:
    of = encoder(config)
    write = of.writer({"max_new_tokens": 7})
    of.keeps = True
    assert not of.can_keep and of(batch(of)).kept is None
    assert write(batch(of)).shape[0] == 3


# -- evaluation --------------------------------------------------------------------------------------------------------
def made(**arguments: Any) -> tuple[CausalLM, Any, torch.Tensor]:
    of = encoder()
    task = CausalLM(**arguments)
    task.meet(of)
    task.build(of.features)
    task.eval()
    inputs = batch(of, completion=["xyz", "y", None])
    targets = torch.where(inputs["answer"] > 0, inputs["answer"], -100)
    return task, of(inputs)._replace(given=inputs), targets


def test_texts_are_written_where_they_are_asked_for() -> None:
    task, features, targets = made()
    assert task(features).written is None
    task.is_predicting = True
    rows = task.decode(task(features), features.mask)
    assert [set(row) for row in rows] == [{"text"}] * 3
    task, features, targets = made(metrics=["bleu", "exact_match", "perplexity"])
    logits, metrics = task(features), task.metrics()
    right = targets.clone().clamp(min=3)
    task.update(metrics, logits._replace(written=right), targets)
    values = metrics.compute()
    assert values["exact_match"] == 1 and values["perplexity"] > 1
    task.train()
    assert task(features).written is None


def test_scores_are_those_of_sacrebleu() -> None:
    metrics = {name: make() for name, make in TEXT_METRICS.items()}
    for part in (TEXTS[:1], TEXTS[1:]):
        for metric in metrics.values():
            metric.update([text for text, _ in part], [[reference] for _, reference in part])
    theirs = sacrebleu.corpus_bleu([text for text, _ in TEXTS], [[reference for _, reference in TEXTS]], force=True)
    assert metrics["bleu"].compute().item() * 100 == pytest.approx(theirs.score, abs=1e-3)
    assert metrics["exact_match"].compute().item() == pytest.approx(1 / 3)
    assert metrics["rouge_l"].compute().item() == pytest.approx((12 / 13 + 1) / 3, abs=1e-6)
    several = TEXT_METRICS["exact_match"]()
    several.update(["a"], [["b", " a"]])
    assert several.compute() == 1


def test_all_references_count() -> None:
    task, features, targets = made(metrics=["bleu", "exact_match", "rouge_l"])
    tokens = [each["input_ids"] for each in map(plain(task), ("lmnopq", "lmnop", "abcdefg"))]
    rows = [with_references(targets[0].tolist(), tokens), *targets[1:].tolist()]
    written = [each["input_ids"] for each in map(plain(task), ("lmnop", "defg", "a"))]
    logits, metrics = task(features)._replace(written=stack(written, 0)), task.metrics()
    task.update(metrics, logits, stack(rows, task.missing))
    found = metrics.compute()
    references: Any = [["l m n o p q", "y"], ["l m n o p", None], ["a b c d e f g", None]]
    theirs = sacrebleu.corpus_bleu(["l m n o p", "d e f g"], references, force=True)
    assert found["bleu"].item() * 100 == pytest.approx(theirs.score, abs=1e-3)
    assert found["exact_match"] == found["rouge_l"] == 0.5, "the other example has one reference, 'y'"


def plain(task: CausalLM) -> Any:
    return partial(task._tokenizer, add_special_tokens=False)


# -- metrics of a user's own -------------------------------------------------------------------------------------------
def test_own_metrics_get_texts_references_and_prompts_of_labelled_examples() -> None:
    task, features, targets = made(own_metrics=[NotReversed(), same_length, says_more, CHRFScore()])
    logits, metrics, of = task(features), task.metrics(), task._encoder[0]
    assert logits.written is not None, "they are reason enough to write"
    texts = of.processor.tokenizer(["bx", "cc", "defg"], add_special_tokens=False, padding=True, return_tensors="pt")
    for _ in range(2):
        task.update(metrics, logits._replace(written=texts["input_ids"]), targets)
    found = metrics.compute()
    assert set(found) == {"perplexity", "token_accuracy", "not_reversed", "same_length", "says_more", "chrf_score"}
    assert found["not_reversed"] == 1 / 4, "the third prompt has no completion"
    assert found["same_length"] == 0 and found["says_more"] == 1, "letters have blanks between them here"
    theirs = CHRFScore()
    theirs.update(["b x", "c c"] * 2, [["x y z"], ["y"]] * 2)
    assert found["chrf_score"] == theirs.compute() > 0
    assert not task._own["not_reversed"].update_called, "each evaluation has metrics of its own"


def test_an_own_metric_says_which_way_it_is_better() -> None:
    assert not CausalLM(own_metrics=[NotReversed()], main_metric="not_reversed").higher_is_better
    assert CausalLM(own_metrics=[same_length], main_metric="same_length").higher_is_better
    assert not CausalLM(own_metrics=[same_length], main_metric="perplexity").higher_is_better


@pytest.mark.parametrize("own", [[same_length, same_length], [NotReversed(), NotReversed()]])
def test_own_metrics_have_names_of_their_own(own: list[Any]) -> None:
    with pytest.raises(UserError, match=r"`own_metrics`: two metrics are called '(same_length|not_reversed)'; give a"):
        CausalLM(own_metrics=own)
