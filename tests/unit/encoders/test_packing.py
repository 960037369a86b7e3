"""Packed batches: what the model makes of them, and how full they are."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.encoders.packing import ONE_ROW, PACKED, UNPACKED, layout, plan
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import CausalLM

SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 40}
LLAMA = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, **SIZES}
GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}
MISTRAL = {
    "model_type": "mistral",
    "hidden_size": 16,
    "intermediate_size": 24,
    "sliding_window": 4,
    "num_key_value_heads": 2,
    **SIZES,
}
BERT = {"model_type": "bert", "hidden_size": 16, "intermediate_size": 24, **SIZES}
PROMPTS = ["a", "bcde", "fg", "hijklmnopq", "r", "stuv", "w"]
COMPLETIONS = ["xyz", "b", "cdefghijkl", "d", "e", None, "fg"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def encoder(config: dict[str, Any], **settings: Any) -> TransformerEncoder:
    return TransformerEncoder(config=config, tokenizer="characters:ascii", max_length=24, dropout=0.0, **settings)


def examples(of: TransformerEncoder, columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    encoded = of.processor.encode(columns)
    return [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]


def loss_of(of: TransformerEncoder) -> torch.Tensor:
    """Of what is to be written, and a little of the pooled features."""
    task = CausalLM()
    task.meet(of)
    task.build(of.features)
    rows = examples(of, {"prompt": PROMPTS, "completion": COMPLETIONS})
    batch = of.processor.collate(rows)
    made = of(batch)._replace(given=batch)
    targets = torch.where(batch["answer"] >= 0, batch["answer"], -100)
    return task.loss(task(made), targets) + made.pooled.square().mean()


@pytest.mark.parametrize(
    ("config", "attention", "pooling"),
    [
        (LLAMA, "sdpa", "mean"),
        (LLAMA, "eager", "last"),
        (GPT2, "sdpa", "cls"),
        (GPT2, "eager", "mean"),
        (MISTRAL, "sdpa", "last"),
    ],
    ids=["llama", "llama-eager", "gpt2", "gpt2-eager", "sliding window"],
)
def test_loss_and_gradients_are_those_of_padded_batches(config: dict[str, Any], attention: str, pooling: Any) -> None:
    padded, packed = (encoder(config, attention=attention, pooling=pooling, packing=p).double() for p in (False, True))
    for each in (padded, packed):
        each.output_embedding()  # of its own, unless it is tied
    packed.load_state_dict(padded.state_dict())
    losses = [loss_of(each) for each in (padded, packed)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    pairs = zip(losses, (padded, packed), strict=True)
    gradients = [torch.autograd.grad(loss, list(of.parameters())) for loss, of in pairs]
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("columns", [{"text": PROMPTS}, {"tokens": [list(p) for p in PROMPTS]}], ids=["text", "words"])
def test_classification_reads_the_same(columns: dict[str, list[Any]]) -> None:
    padded, packed = (encoder(LLAMA, packing=p).eval() for p in (False, True))
    packed.load_state_dict(padded.state_dict())
    rows = examples(padded, columns)
    first, second = (of(of.processor.collate(rows)) for of in (padded, packed))
    torch.testing.assert_close(first.pooled, second.pooled)
    if first.tokens is not None:
        torch.testing.assert_close(first.tokens[first.mask], second.tokens[second.mask])


def test_a_bidirectional_model_is_refused() -> None:
    with pytest.raises(UserError, match=r"`packing`: BertModel does not keep sequences in one row apart; leave `pac"):
        encoder(BERT, packing=True)


def test_a_cut_model_packs_nothing() -> None:
    of = encoder(LLAMA, packing=True)
    with pytest.raises(UserError, match=r"model\.sharing: an encoder that is cut into stages packs no batches"):
        _ = of.stages


@given(st.lists(st.integers(1, 32), min_size=1, max_size=60))
def test_each_sequence_stands_in_one_row(lengths: list[int]) -> None:
    rows = plan(lengths, 32)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    width = max(sum(lengths[i] for i in row) for row in rows)
    assert max(lengths) <= width <= 32
    assert len(rows) <= len(lengths)
    assert plan(lengths, ONE_ROW) == [list(range(len(lengths)))]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_what_is_packed_is_unpacked(lengths: list[int]) -> None:
    where = layout(lengths, 16)
    packed = where[PACKED].flatten()
    real = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    assert torch.equal(packed[where[UNPACKED]][real], torch.arange(real.numel()).view(real.shape)[real])
    assert (packed >= 0).sum() == sum(lengths)


def test_rows_of_a_skewed_mix_are_full() -> None:
    draw = torch.Generator().manual_seed(0)
    lengths = (8 * torch.exp(1.2 * torch.randn(64, generator=draw))).long().clamp(4, 512).tolist()
    where = layout(lengths, 512)[PACKED]
    assert (where >= 0).double().mean() >= 0.95
    assert where.shape[1] <= 1.05 * max(lengths), "rows are no longer than they must be"
    assert sum(lengths) / (len(lengths) * max(lengths)) < 0.5
    assert layout([20] * 8 + [19], 512)[PACKED].shape == (9, 20), "sequences of one length need no packing"
