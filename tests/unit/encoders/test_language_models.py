"""Decoder-only models as encoders: what is read of them, and the language model around them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LLAMA
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from mtl_lightning.encoders import TextProcessor, TransformerEncoder, character_tokenizer
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.running_text import RunningText

GPT2 = {"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}
MODELS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "llama, tied": {**LLAMA, "tie_word_embeddings": True},
    "gpt2": GPT2,
    "with a bias": {**LLAMA, "model_type": "phi"},
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def saved(folder: Path, config: dict[str, Any]) -> Any:
    """A causal language model, and a folder with it and its tokenizer."""
    tokenizer = character_tokenizer("ascii")
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": tokenizer.pad_token_id}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config, **special, vocab_size=len(tokenizer)))
    with torch.no_grad():
        for parameter in model.get_output_embeddings().parameters():
            parameter.normal_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


def encoder(config: dict[str, Any] = LLAMA, **settings: Any) -> TransformerEncoder:
    return TransformerEncoder(**{"config": config, "tokenizer": "characters:ascii", "max_length": 32, **settings})


def batch(of: TransformerEncoder, **columns: list[Any]) -> dict[str, Tensor]:
    encoded = of.processor.encode(columns)
    number = len(next(iter(columns.values())))
    return of.processor.collate([{name: values[i] for name, values in encoded.items()} for i in range(number)])


# -- what is read ------------------------------------------------------------------------------------------------------
def test_the_last_real_token_is_read_on_either_side_of_the_padding() -> None:
    whole = encoder(pooling="last").eval()
    inputs = batch(whole, text=["abc", "a"])
    hidden = whole.backbone(**inputs).last_hidden_state
    lengths = inputs["attention_mask"].sum(1)
    assert lengths[0] > lengths[1]
    pooled = whole(inputs).pooled
    assert torch.equal(pooled, torch.stack([hidden[0, lengths[0] - 1], hidden[1, lengths[1] - 1]]))
    left = {name: tensor.flip(1) for name, tensor in inputs.items()}
    assert torch.equal(whole(left).pooled, whole.backbone(**left).last_hidden_state[:, -1])


def test_a_tokenizer_without_padding_pads_with_what_is_masked() -> None:
    whole = encoder(pooling="last").eval()
    whole.processor.tokenizer.pad_token = None
    inputs = batch(whole, text=["abc", "a"])
    assert inputs["attention_mask"].tolist()[1][-1] == 0
    alone = whole(batch(whole, text=["a"])).pooled
    torch.testing.assert_close(whole(inputs).pooled[1:], alone)


@pytest.mark.parametrize(("config", "causal"), [(LLAMA, True), (GPT2, True), ({**LLAMA, "model_type": "bert"}, False)])
def test_a_causal_model_reads_words_at_their_ends(config: dict[str, Any], causal: bool) -> None:
    whole = encoder(config)
    starts, ends = [1, 4, 5], [3, 4, 6]
    words = {"tokens": [["abc", "d", "ef"]]}
    assert whole.processor.encode(words)["word_starts"] == [ends if causal else starts]
    other = encoder(config, sub_word="first" if causal else "last")
    assert other.processor.encode(words)["word_starts"] == [starts if causal else ends]
    assert whole.processor.signature() != other.processor.signature()
    assert other.assets().init_args["sub_word"] == other.processor.sub_word


def test_a_word_that_is_cut_is_read_where_it_was_cut() -> None:
    processor = encoder(max_length=5).processor
    assert processor.encode({"tokens": [["a", "bcd", "e"]]})["word_starts"] == [[1, 3]]


@pytest.mark.parametrize(
    ("marks", "causal", "split", "wanted"),
    [
        (ByteLevel(add_prefix_space=False), True, "whitespace", ["b", "a", "Ġb", "a", "Ġa"]),
        (ByteLevel(add_prefix_space=False), False, "whitespace", ["b", "a", "b", "a", "a"]),
        (ByteLevel(add_prefix_space=False), True, "characters", ["b", "a", "b", "a", "a"]),
        (ByteLevel(add_prefix_space=True), True, "whitespace", ["Ġb", "a", "Ġb", "a", "Ġa"]),
        (Metaspace(), True, "whitespace", ["▁b", "a", "▁b", "a", "▁a"]),
    ],
    ids=["byte level", "encoder", "characters", "spaces anyway", "sentencepiece"],
)
def test_words_of_a_list_have_the_tokens_of_a_text(marks: Any, causal: bool, split: Any, wanted: list[str]) -> None:
    tokenizer = byte_pairs(marks)
    processor = TextProcessor(tokenizer, 9, split, "last", causal)
    encoded = processor.encode({"tokens": [["ba", "ba", "a"]]})
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"][0]) == wanted
    assert encoded["word_starts"] == [[1, 3, 4]]
    assert ("spaces" in processor.signature()) is ("Ġb" in wanted and wanted[0] == "b")


def byte_pairs(marks: Any) -> PreTrainedTokenizerFast:
    """A tokenizer of a few letters, in which a space is part of the letter behind it."""
    vocabulary = ["a", "b", "Ġ", "▁", "Ġa", "Ġb", "▁a", "▁b", "Ċ"]
    merges = [("Ġ", "a"), ("Ġ", "b"), ("▁", "a"), ("▁", "b")]
    made = Tokenizer(BPE({token: number for number, token in enumerate(vocabulary)}, merges))
    made.pre_tokenizer = marks
    return PreTrainedTokenizerFast(tokenizer_object=made)


def test_two_texts_are_told_apart_where_no_token_does_it() -> None:
    tokenizer, pair = byte_pairs(ByteLevel(add_prefix_space=False)), {"text": ["b a"], "text_pair": ["a"]}
    running = TextProcessor(tokenizer, 9, runs_on=True)
    assert tokenizer.convert_ids_to_tokens(running.encode(pair)["input_ids"][0]) == ["b", "Ġa", "Ċ", "a"]
    assert tokenizer.convert_ids_to_tokens(running.encode({"text": ["b a"]})["input_ids"][0]) == ["b", "Ġa"]
    assert "breaks" in running.signature()
    separated = character_tokenizer("ascii")
    assert RunningText(separated, "whitespace").signature == []


def test_finding_out_changes_nothing() -> None:
    whole = encoder()
    assert all(module.training for module in whole.modules())
    assert whole.output_embedding().training
    assert not whole.backbone.get_input_embeddings()._forward_hooks


def test_weights_are_as_precise_as_the_rest_of_the_model(tmp_path: Path) -> None:
    saved(tmp_path, LLAMA).bfloat16().save_pretrained(tmp_path)
    again = TransformerEncoder(str(tmp_path), pretrained=False)
    for whole in (TransformerEncoder(str(tmp_path)), again):
        assert {parameter.dtype for parameter in whole.parameters()} == {torch.float32}


# -- the language model ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", MODELS)
def test_logits_and_texts_are_those_of_the_language_model(kind: str, tmp_path: Path) -> None:
    wanted = saved(tmp_path, MODELS[kind])
    whole = TransformerEncoder(str(tmp_path)).eval()
    inputs = batch(whole, text=["abc d", "a"])
    output = whole.output_embedding()
    logits = wanted(**inputs).logits
    torch.testing.assert_close(output(whole.backbone(**inputs).last_hidden_state), logits)
    generator: Any = whole.generator(output)
    assert torch.equal(generator(**inputs).logits, logits)
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    inputs = batch(whole, text=["abc d"])
    assert torch.equal(generator.generate(**inputs, **options), wanted.generate(**inputs, **options))
    held = {id(parameter) for parameter in [*whole.parameters(), *output.parameters()]}
    assert {id(parameter) for parameter in generator.parameters()} == held


def test_an_output_embedding_of_its_own_is_part_of_the_encoder_when_it_is_asked_for(tmp_path: Path) -> None:
    saved(tmp_path, LLAMA)
    whole = TransformerEncoder(str(tmp_path))
    before = set(whole.state_dict())
    output = whole.output_embedding()
    assert whole.output_embedding() is output
    assert set(whole.state_dict()) - before == {"output.weight"}


@pytest.mark.parametrize("frozen", [True, False])
def test_it_trains_if_the_input_embeddings_do(frozen: bool) -> None:
    assert encoder(freeze_embeddings=frozen).output_embedding().weight.requires_grad is not frozen


def test_a_checkpoint_gives_the_same_language_model(tmp_path: Path) -> None:
    saved(tmp_path, LLAMA)
    whole = TransformerEncoder(str(tmp_path)).eval()
    whole.generation.max_new_tokens = 7  # type: ignore[union-attr]
    whole.output_embedding()
    assets, folder = whole.assets(), tmp_path / "again"
    folder.mkdir()
    for name, text in assets.files.items():
        (folder / name).write_text(text)
    arguments = {**assets.init_args, "model": str(folder)}
    again = TransformerEncoder(**arguments).eval()
    again.output_embedding()
    again.load_state_dict(whole.state_dict())
    inputs = batch(whole, text=["abc d"])
    found, wanted = ({"model": each.generator(each.output_embedding())} for each in (again, whole))
    assert torch.equal(found["model"](**inputs).logits, wanted["model"](**inputs).logits)
    assert found["model"].generation_config.max_new_tokens == 7


def test_random_weights_of_an_output_are_drawn_as_the_architecture_has_them() -> None:
    output = encoder({**LLAMA, "initializer_range": 0.5}).output_embedding()
    assert isinstance(output, nn.Linear)
    assert 0.4 < output.weight.std() < 0.6


def test_an_encoder_without_a_language_model_is_refused() -> None:
    with pytest.raises(UserError, match="BertModel reads texts as a whole and generates none"):
        encoder({**LLAMA, "model_type": "bert"}).output_embedding()


def test_weights_without_an_output_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, LLAMA).base_model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="the weights of LlamaModel come without those of its language-model head"):
        TransformerEncoder(str(tmp_path)).output_embedding()


def test_logits_that_are_capped_are_refused(tmp_path: Path) -> None:
    gemma = {"model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 1.0}
    saved(tmp_path, {**LLAMA, **gemma})
    with pytest.raises(UserError, match="Gemma2Model scales or caps its logits"):
        TransformerEncoder(str(tmp_path)).output_embedding()
