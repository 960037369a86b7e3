"""Files of GGUF: tokenizer, architecture and weights of one, which a checkpoint then holds as any others."""

from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFWriter
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from mtl_lightning.encoders import TransformerEncoder, gguf_files
from mtl_lightning.errors import UserError

VOCABULARY = [*"abcdefghijklmnopqrstuvwxyz", "Ġ", "<s>", "</s>", "ab"]
NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
LLAMA: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=len(VOCABULARY), **LLAMA)).eval()


@pytest.fixture(scope="module")
def folder(model: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("gguf")
    write(made / "tiny.gguf", model)
    return str(made)


def write(path: Path, model: Any) -> None:
    """Writes a Llama as llama.cpp does, with a tokenizer of one merge."""
    file = GGUFWriter(path, "llama")
    file.add_block_count(1)
    file.add_context_length(40)
    file.add_embedding_length(16)
    file.add_feed_forward_length(24)
    file.add_head_count(2)
    file.add_head_count_kv(2)
    file.add_rope_dimension_count(8)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_rope_freq_base(10000.0)
    file.add_vocab_size(len(VOCABULARY))
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("default")
    file.add_token_list(VOCABULARY)
    file.add_token_types([3 if "s>" in token else 1 for token in VOCABULARY])
    file.add_token_merges(["a b"])
    file.add_bos_token_id(27)
    file.add_eos_token_id(28)
    for name, tensor in model.model.state_dict().items():
        *layer, short = name.removesuffix(".weight").split(".")
        place = f"blk.{layer[1]}." if layer else ""
        file.add_tensor(f"{place}{NAMES[short]}.weight", _turned(short, tensor).contiguous().numpy())
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def _turned(name: str, weight: Tensor) -> Tensor:
    """As llama.cpp has them, pairs of what is rotated stand beside each other."""
    if name not in ("q_proj", "k_proj"):
        return weight
    return weight.reshape(2, 2, len(weight) // 4, -1).swapaxes(1, 2).reshape(weight.shape)


def test_one_file_has_tokenizer_architecture_and_weights(folder: str, model: Any) -> None:
    encoder = TransformerEncoder(folder, gguf_file="tiny.gguf", pooling="last").eval()
    (ids,) = encoder.processor.encode({"text": ["abc d"]})["input_ids"]
    assert [VOCABULARY[i] for i in ids] == ["ab", "c", "Ġ", "d"]
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    hidden = encoder.backbone(**inputs).last_hidden_state
    torch.testing.assert_close(hidden, model.model(**inputs).last_hidden_state)
    torch.testing.assert_close(encoder.output_embedding()(hidden), model(**inputs).logits)
    assert encoder.processor.max_length == 40
    assert encoder.generation is not None
    assert encoder.generation.eos_token_id == 28


def test_what_was_loaded_is_built_again_from_a_checkpoint_alone(folder: str, tmp_path: Path) -> None:
    encoder = TransformerEncoder(folder, gguf_file="tiny.gguf", lora={"r": 2}).eval()
    assets = encoder.assets()
    for name, text in assets.files.items():
        (tmp_path / name).write_text(text)
    again = TransformerEncoder(**{**assets.init_args, "model": str(tmp_path)}).eval()
    again.load_state_dict(encoder.state_dict())
    encoded = encoder.processor.encode({"text": ["abc d"]})
    assert again.processor.encode({"text": ["abc d"]}) == encoded
    inputs = encoder.processor.collate([{name: values[0] for name, values in encoded.items()}])
    assert torch.equal(again(inputs).pooled, encoder(inputs).pooled)
    encoder.merge_adapters()
    encoder.save_pretrained(tmp_path / "whole")
    whole = TransformerEncoder(str(tmp_path / "whole")).eval()
    torch.testing.assert_close(whole(inputs).pooled, encoder(inputs).pooled)


def test_mistakes_are_one_line(folder: str, monkeypatch: Any) -> None:
    with pytest.raises(UserError, match=r"`gguf_file`: .* has no 'tny.gguf'; did you mean 'tiny.gguf'\?"):
        TransformerEncoder(folder, gguf_file="tny.gguf")
    with pytest.raises(UserError, match=r"`model`: .* holds files of GGUF; name one: `gguf_file: tiny.gguf`"):
        TransformerEncoder(folder)
    monkeypatch.setattr(gguf_files, "is_gguf_available", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'mtl-lightning\[gguf\]'"):
        TransformerEncoder(folder, gguf_file="tiny.gguf")
