"""Encoder-decoder models as encoders: what is read of them, what writes, and the files that they are kept in."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tiny import BART, BERT, LLAMA, T5
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoModelForTextEncoding

from mtl_lightning.encoders import TransformerEncoder, character_tokenizer
from mtl_lightning.encoders.encoder_decoder import PretrainedDecoder
from mtl_lightning.encoders.pretrained import without_weights
from mtl_lightning.errors import UserError

UNTIED = {**T5, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"}  # as T5 1.1 and mT5
MODELS = {"t5": T5, "t5 1.1": UNTIED, "bart": BART}
START = {"t5": 0, "t5 1.1": 0, "bart": 3}
TEXTS = ["ab c", "defg", "h"]
TARGETS = torch.tensor([[7, 8, 9, 3], [10, 3, -100, -100], [11, 12, 3, -100]])
LORA = {"r": 2, "lora_alpha": 8}
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def saved(folder: Path, kind: str) -> Any:
    """An encoder-decoder model of which no two tokens are alike, and a folder with it and its tokenizer."""
    tokenizer = character_tokenizer("printable")
    special = {"decoder_start_token_id": START[kind], "eos_token_id": 3, "pad_token_id": 0, "forced_eos_token_id": None}
    config = AutoConfig.for_model(**{**MODELS[kind], **special}, vocab_size=len(tokenizer))
    model = AutoModelForSeq2SeqLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


def encoder(config: dict[str, Any] = T5, **settings: Any) -> TransformerEncoder:
    return TransformerEncoder(**{"config": config, "tokenizer": "characters:printable", "max_length": 32, **settings})


def batch(of: TransformerEncoder, texts: list[str] = TEXTS) -> dict[str, Tensor]:
    encoded = of.processor.encode({"text": texts})
    rows = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    return of.processor.collate(rows)


def arguments(inputs: dict[str, Tensor]) -> dict[str, Any]:
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def seen(of: TransformerEncoder, inputs: dict[str, Tensor]) -> tuple[Any, Tensor, Tensor]:
    return of(inputs).states, inputs["attention_mask"], inputs["input_ids"]


def cut(rows: list[list[int]], end: int = 3) -> list[list[int]]:
    """Tokens as far as the first end."""
    return [row[: row.index(end)] if end in row else row for row in rows]


# -- what is read, and what writes -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", MODELS)
def test_hidden_states_logits_and_loss_are_those_of_the_model(kind: str, tmp_path: Path) -> None:
    wanted = saved(tmp_path, kind)
    of = TransformerEncoder(str(tmp_path), max_length=32).eval()
    inputs = batch(of)
    assert of(inputs).states is None, "nobody has asked for the decoder"
    hidden = wanted.get_encoder()(**arguments(inputs)).last_hidden_state
    torch.testing.assert_close(of.backbone(**arguments(inputs)).last_hidden_state, hidden)
    decoder = of.own_decoder({})
    logits = decoder.logits(seen(of, inputs), TARGETS)
    theirs = wanted(**arguments(inputs), labels=TARGETS)
    torch.testing.assert_close(logits, theirs.logits)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), TARGETS.flatten())
    torch.testing.assert_close(loss, theirs.loss)
    assert decoder.num_tokens == logits.shape[-1] == len(of.processor.tokenizer)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "length_penalty": 0.2}], ids=["greedy", "beams"])
def test_texts_are_those_of_the_model_with_a_cache_and_without(
    kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    wanted, options = saved(tmp_path, kind), {"no_repeat_ngram_size": 1, **options}  # else they repeat one token
    of = TransformerEncoder(str(tmp_path), max_length=32).eval()
    inputs = batch(of)
    found = of.own_decoder({"max_new_tokens": 7, **options}).write(seen(of, inputs))
    assert found.shape[0] == 3 and 1 <= found.shape[1] <= 7
    assert len({tuple(row) for row in found.tolist()}) > 1, "the texts depend on what is read"
    for use_cache in (True, False):
        theirs = wanted.generate(**arguments(inputs), max_new_tokens=7, use_cache=use_cache, **options)
        assert cut(found.tolist()) == cut(theirs[:, 1:].tolist())


def test_a_row_is_written_as_it_is_alone() -> None:
    of = encoder(BART).eval()
    for parameter in of.parameters():
        nn.init.normal_(parameter, std=0.3)
    decoder = of.own_decoder({"max_new_tokens": 6})
    together = cut(decoder.write(seen(of, batch(of))).tolist())
    assert together == [cut(decoder.write(seen(of, batch(of, [text]))).tolist())[0] for text in TEXTS]


def test_sampling_depends_on_the_seed_alone() -> None:
    of = encoder().eval()
    decoder = of.own_decoder({"max_new_tokens": 8, "do_sample": True, "temperature": 2.0})
    state, looked_at = torch.get_rng_state(), seen(of, batch(of))
    first = decoder.write(looked_at)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(decoder.write(looked_at), first)
    torch.manual_seed(1)
    assert not torch.equal(decoder.write(looked_at), first)


def test_writing_leaves_the_modes_of_modules() -> None:
    of = encoder()
    decoder = of.own_decoder({"max_new_tokens": 2})
    decoder.write(seen(of, batch(of)))
    assert of.decoder is not None and all(module.training for module in of.decoder.modules())


def test_no_more_is_written_than_the_decoder_has_positions_for() -> None:
    of = encoder({**BART, "max_position_embeddings": 9}, max_length=9).eval()
    assert of.own_decoder({"max_new_tokens": 99}).write(seen(of, batch(of))).shape[1] <= 9
    assert encoder().own_decoder({}).num_positions > 10**9, "T5's positions have no limit"


def test_each_parameter_has_a_single_module_and_ties_hold() -> None:
    of = encoder(BART)
    before = set(of.state_dict())
    assert all(name.startswith("backbone.") for name in before)
    assert of.own_decoder({}) is not None and of.own_decoder({}) is not None
    after = set(of.state_dict()) - before
    assert after and all(name.startswith("decoder.") for name in after)
    assert not any("encoder." in name.removeprefix("decoder.") for name in after)
    names = [name for name, _ in of.named_parameters()]
    assert names.count("backbone.embed_tokens.weight") == 1 and "decoder.lm_head.weight" not in names
    assert of.double().state_dict()["decoder.lm_head.weight"] is not None
    assert of.decoder.lm_head.weight is of.backbone.embed_tokens.weight  # type: ignore[union-attr]


def test_targets_have_the_tokens_of_the_tokenizer_and_an_end() -> None:
    of = encoder()
    decoder, tokenizer = of.own_decoder({}), of.processor.tokenizer
    assert decoder.encode("ab") == tokenizer("ab")["input_ids"]
    assert decoder.shown(decoder.encode("a b")) == "[CLS] a ▁ b [SEP]"
    assert decoder.decode(decoder.encode("a b")) == "a b"
    tokenizer._tokenizer.post_processor = None
    assert decoder.encode("ab")[-1] == 3


@pytest.mark.parametrize(
    ("config", "start"),
    [(T5, 2), (BART, 2), ({**T5, "decoder_start_token_id": 0}, 0), ({**BART, "model_type": "mbart"}, 2)],
)
def test_a_model_from_scratch_starts_with_a_special_token(config: dict[str, Any], start: int) -> None:
    of = encoder(config)
    assert of.own_decoder({})._start == start
    assert of.generation is not None and of.generation.forced_eos_token_id is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: encoder(BERT, max_length=12), "BertModel has no decoder; give `model` one such as T5 or BART"),
        (lambda: encoder(LLAMA), "LlamaModel has no decoder"),
        (
            lambda: encoder({**T5, "decoder_start_token_id": None}),
            "does not say with which token a text starts; set the",
        ),
    ],
)
def test_a_model_that_cannot_write_is_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make().own_decoder({})


def test_what_does_not_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="T5Stack reads texts as a whole and leaves it to its decoder to write, in `Seq"
    ):
        encoder().output_embedding()
    with pytest.raises(UserError, match="`generation` has the unknown option 'decoder_start_token_id'"):
        encoder().own_decoder({"decoder_start_token_id": 1})
    with pytest.raises(UserError, match="`packing`: T5Stack does not keep sequences in one row apart"):
        encoder(packing=True)
    with pytest.raises(UserError, match="T5Stack cannot be cut into stages"):
        _ = encoder().stages
    assert len(encoder(BART).stages) == 2


# -- what trains -------------------------------------------------------------------------------------------------------
def gradients(of: TransformerEncoder, decoder: PretrainedDecoder) -> dict[str, Tensor]:
    looked_at = seen(of, batch(of))
    loss = nn.functional.cross_entropy(decoder.logits(looked_at, TARGETS).flatten(0, 1), TARGETS.flatten())
    trained = {name: p for name, p in of.named_parameters() if p.requires_grad}
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


@pytest.mark.parametrize("config", [T5, BART], ids=["t5", "bart"])
def test_recomputed_gradients_are_the_same(config: dict[str, Any]) -> None:
    found = []
    for recomputed in (False, True):
        torch.manual_seed(0)
        of = encoder(config, gradient_checkpointing=recomputed)
        decoder = of.own_decoder({})
        torch.manual_seed(1)
        found.append(gradients(of, decoder))
        layers = [module for module in of.decoder.modules() if getattr(module, "gradient_checkpointing", False)]  # type: ignore[union-attr]
        assert bool(layers) is recomputed
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


@pytest.mark.parametrize("kind", MODELS)
def test_frozen_embeddings_are_those_of_both_sides(kind: str) -> None:
    of = encoder(MODELS[kind], freeze_embeddings=True, frozen_layers=-1)
    of.own_decoder({})
    trained = {name for name, parameter in of.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "decoder.decoder" in name or "decoder.model.decoder" in name}
    assert not {name for name in trained if "lm_head" in name or "shared" in name or "embed_tokens" in name}
    assert not {name for name in trained if name.startswith("backbone.") and ("block" in name or "layers" in name)}


def test_all_layers_count_once_for_learning_rates() -> None:
    assert [len(layer) for layer in encoder().layers_by_depth()] == [1, 9, 8]


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_an_adapter_is_on_both_sides_and_alone_trains(kind: str, tmp_path: Path) -> None:
    saved(tmp_path / "base", kind)
    of = TransformerEncoder(str(tmp_path / "base"), max_length=32, lora=dict(LORA)).eval()
    decoder = of.own_decoder({"max_new_tokens": 5})
    trained = {name: parameter for name, parameter in of.named_parameters() if parameter.requires_grad}
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)
    assert {name.partition(".")[0] for name in trained} == {"backbone", "decoder"}
    for parameter in trained.values():
        nn.init.normal_(parameter, std=0.3)
    assert gradients(of, decoder).keys() == trained.keys()
    inputs = batch(of)
    logits, written = decoder.logits(seen(of, inputs), TARGETS), decoder.write(seen(of, inputs))
    of.save_adapters(tmp_path / "adapter")
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "base")
    peft = PeftModel.from_pretrained(model, str(tmp_path / "adapter")).eval()
    torch.testing.assert_close(peft(**arguments(inputs), labels=TARGETS).logits, logits, atol=1e-4, rtol=1e-4)
    again = TransformerEncoder(str(tmp_path / "base"), max_length=32, lora=dict(LORA)).eval()
    again.load_adapters(tmp_path / "adapter")
    assert torch.equal(again.own_decoder({}).logits(seen(again, inputs), TARGETS), logits)
    of.merge_adapters()
    assert not any("lora" in name for name in of.state_dict())
    close = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(decoder.logits(seen(of, inputs), TARGETS), logits, **close)
    assert torch.equal(decoder.write(seen(of, inputs)), written)
    of.save_pretrained(tmp_path / "merged")
    merged = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(merged(**arguments(inputs), labels=TARGETS).logits, logits, **close)


# -- files -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", MODELS)
def test_a_checkpoint_gives_the_same_model(kind: str, tmp_path: Path) -> None:
    wanted = saved(tmp_path / "base", kind)
    wanted.generation_config.no_repeat_ngram_size = 2
    wanted.generation_config.save_pretrained(tmp_path / "base")
    of = TransformerEncoder(str(tmp_path / "base"), max_length=32).eval()
    decoder, assets = of.own_decoder({"max_new_tokens": 6}), of.assets()
    (tmp_path / "again").mkdir()
    for name, text in assets.files.items():
        (tmp_path / "again" / name).write_text(text)
    again = TransformerEncoder(**{**assets.init_args, "model": str(tmp_path / "again")}).eval()
    other = again.own_decoder({"max_new_tokens": 6})
    again.load_state_dict(of.state_dict())
    inputs = batch(of)
    assert torch.equal(other.logits(seen(again, inputs), TARGETS), decoder.logits(seen(of, inputs), TARGETS))
    found = decoder.write(seen(of, inputs))
    assert torch.equal(other.write(seen(again, inputs)), found)
    pairs = [list(pairwise(row)) for row in cut(found.tolist())]
    assert all(len(set(row)) == len(row) for row in pairs), "what the model's folder says of generation holds"


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_the_encoder_alone_is_saved_where_nobody_writes(kind: str, tmp_path: Path) -> None:
    wanted = saved(tmp_path / "base", kind)
    of = TransformerEncoder(str(tmp_path / "base"), max_length=32).eval()
    of.save_pretrained(tmp_path / "encoder")
    again = TransformerEncoder(str(tmp_path / "encoder"), max_length=32).eval()
    inputs = batch(of)
    assert torch.equal(again(inputs).pooled, of(inputs).pooled)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"the weights of {type(wanted).__name__} come without '.*decoder"):
        again.own_decoder({})


def test_a_folder_with_the_encoder_of_t5_is_read(tmp_path: Path) -> None:
    whole = saved(tmp_path, "t5")
    alone = AutoModelForTextEncoding.from_config(whole.config)
    alone.encoder.load_state_dict(whole.encoder.state_dict())
    alone.save_pretrained(tmp_path)
    of = TransformerEncoder(str(tmp_path), max_length=32).eval()
    inputs = batch(of)
    found = of.backbone(**arguments(inputs)).last_hidden_state
    torch.testing.assert_close(found, whole.encoder(**arguments(inputs)).last_hidden_state)
    with pytest.raises(UserError, match="come without 'decoder"):
        of.own_decoder({})


def test_it_says_what_it_is_made_of_without_weights() -> None:
    with without_weights():
        of = encoder()
        decoder = of.own_decoder({})
    assert of.backbone.device.type == "meta" and decoder.encode("a")[-1] == 3


def test_gguf_is_refused() -> None:
    from mtl_lightning.encoders import pretrained

    with pytest.raises(
        UserError, match="`gguf_file`: t5 is an encoder-decoder model, which is not read from GGUF here"
    ):
        pretrained.load_backbone("a", AutoConfig.for_model("t5"), None, "a.gguf")
