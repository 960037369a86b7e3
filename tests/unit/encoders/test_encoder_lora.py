"""LoRA on a whole encoder: what trains, what peft reads of it, and what it becomes."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from test_language_models import GPT2, LLAMA, batch, saved
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM

from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.encoders.pretrained import without_weights
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import LoRA
from mtl_lightning.testing import check_encoder

OPTIONS = {"r": 2, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def base(tmp_path: Path) -> str:
    saved(tmp_path / "base", LLAMA)
    return str(tmp_path / "base")


def adapted(model: str, lora: Mapping[str, Any] = OPTIONS, **settings: Any) -> TransformerEncoder:
    """An encoder whose adapter does something."""
    encoder = TransformerEncoder(model, lora=dict(lora), **settings)
    for parameter in encoder.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return encoder.eval()


def inputs(of: TransformerEncoder) -> dict[str, Tensor]:
    return batch(of, text=["abc d", "xy"])


def pooled(of: TransformerEncoder) -> Tensor:
    found = of(inputs(of)).pooled
    assert found is not None
    return found


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_only_the_adapter_has_gradients(base: str, gradient_checkpointing: bool) -> None:
    encoder = adapted(base, gradient_checkpointing=gradient_checkpointing).train()
    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert len(trained) == 2 * 2 * 2  # layers · targets · matrices
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)
    pooled(encoder).sum().backward()
    reached = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert reached == trained


def test_recomputed_gradients_are_the_same(base: str) -> None:
    found = []
    for recomputed in (False, True):
        torch.manual_seed(0)
        encoder = adapted(base, gradient_checkpointing=recomputed).train()
        trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        found.append(torch.autograd.grad(pooled(encoder).pow(2).sum(), trained))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_an_untrained_adapter_changes_nothing(base: str) -> None:
    torch.testing.assert_close(
        pooled(TransformerEncoder(base, lora=dict(OPTIONS)).eval()), pooled(TransformerEncoder(base).eval())
    )


@pytest.mark.parametrize(
    "columns", [{"text": ["a", "bcd e"]}, {"tokens": [["ab"], ["c", "def"]]}], ids=["text", "words"]
)
def test_it_keeps_the_contract_of_encoders(columns: dict[str, list[Any]], base: str) -> None:
    check_encoder(adapted(base, pooling="last"), columns)


def test_layers_are_stages_with_their_adapters(base: str) -> None:
    encoder = adapted(base)
    state = encoder.begin(inputs(encoder))
    for stage in encoder.stages:
        state = stage(state)
    torch.testing.assert_close(encoder.end(state).pooled, pooled(encoder))
    assert [len([p for p in layer if p.requires_grad]) for layer in encoder.layers_by_depth()] == [0, 4, 4]


@pytest.mark.parametrize("kind", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_peft_computes_the_same_hidden_states_and_logits(kind: dict[str, Any], tmp_path: Path) -> None:
    saved(tmp_path / "base", kind)
    lora = {"r": 2, **({"use_rslora": True} if kind is LLAMA else {})}  # on what peft adapts by default
    encoder = adapted(str(tmp_path / "base"), lora)
    arguments = inputs(encoder)
    encoder.save_adapters(tmp_path / "hidden")
    body = PeftModel.from_pretrained(AutoModel.from_pretrained(tmp_path / "base"), str(tmp_path / "hidden"))
    wanted = encoder.backbone(**arguments).last_hidden_state
    torch.testing.assert_close(body.eval()(**arguments).last_hidden_state, wanted)
    wanted = encoder.output_embedding()(wanted)
    encoder.save_adapters(tmp_path / "whole")
    whole = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), str(tmp_path / "whole"))
    torch.testing.assert_close(whole.eval()(**arguments).logits, wanted)


def test_an_adapter_comes_back_from_its_files(base: str, tmp_path: Path) -> None:
    encoder = adapted(base)
    encoder.save_adapters(tmp_path / "hidden")
    encoder.output_embedding()
    encoder.save_adapters(tmp_path / "whole")
    for folder in ("hidden", "whole"):
        other = TransformerEncoder(base, lora=dict(OPTIONS)).eval()
        other.load_adapters(tmp_path / folder)
        assert torch.equal(pooled(other), pooled(encoder))


def test_a_merged_encoder_is_a_plain_one(base: str, tmp_path: Path) -> None:
    encoder = adapted(base)
    wanted = pooled(encoder)
    encoder.merge_adapters()
    torch.testing.assert_close(pooled(encoder), wanted)
    assert encoder.state_dict().keys() == TransformerEncoder(base).state_dict().keys()
    assert encoder.assets().init_args["lora"] is None
    encoder.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(pooled(TransformerEncoder(str(tmp_path / "merged")).eval()), wanted)


def test_a_merged_language_model_is_saved_whole(base: str, tmp_path: Path) -> None:
    encoder = adapted(base)
    logits = encoder.output_embedding()(encoder.backbone(**inputs(encoder)).last_hidden_state)
    encoder.merge_adapters()
    encoder.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(again(**inputs(encoder)).logits, logits)


def test_assets_name_the_targets_that_were_found(base: str) -> None:
    found = TransformerEncoder(base, lora={"r": 2}).assets().init_args["lora"]
    assert found == {"r": 2, "target_modules": ["q_proj", "v_proj"]}


def test_weights_without_an_adapter_are_found_by_one_with_it(base: str) -> None:
    encoder, plain = adapted(base), TransformerEncoder(base)
    found = encoder.renamed(plain.state_dict())
    assert found.keys() <= encoder.state_dict().keys()
    assert plain.renamed(plain.state_dict()).keys() == plain.state_dict().keys()
    with pytest.raises(UserError, match=r"init_from: that run trained an adapter; set the same `model.encoder.lora`"):
        plain.renamed(encoder.state_dict())


def test_without_weights_an_encoder_says_the_same_of_itself(base: str) -> None:
    encoder = TransformerEncoder(base, lora=dict(OPTIONS))
    with without_weights():
        empty = TransformerEncoder(base, lora=dict(OPTIONS))
    assert {parameter.device.type for parameter in empty.parameters()} == {"meta"}
    assert empty.processor.signature() == encoder.processor.signature()
    assert empty.output_embedding().weight.shape == encoder.output_embedding().weight.shape
    assert list(empty.state_dict()) == list(encoder.state_dict())


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"rank": 2}, "`lora.rank` is no option of peft's LoRA; did you mean 'rank_pattern'?"),
        ({"lora_alfa": 2}, "`lora.lora_alfa` is no option of peft's LoRA; did you mean 'lora_alpha'?"),
        ({"target_modules": ["q_prj"]}, "`lora.target_modules`: 'q_prj' is no module; did you mean 'q_proj'?"),
        ({"target_modules": ["q_proj", "v"]}, "`lora.target_modules`: 'v' is no module; "),
        ({"target_modules": "nothing"}, "`lora`: Target modules nothing not found in the base model."),
        ({"target_modules": "("}, "`lora`: missing ), unterminated subpattern"),
        ({"r": 0}, "`lora`: `r` should be a positive integer value but the value passed is 0"),
        ({"r": "many"}, "`lora`: "),
        ({"lora_dropout": 2}, "`lora`: dropout probability has to be between 0 and 1, but got 2"),
        ({"init_lora_weights": "pissa"}, "`lora.init_lora_weights` is 'pissa', which changes the model itself"),
    ],
)
def test_mistakes_are_one_line(lora: dict[str, Any], message: str, base: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as error:
        TransformerEncoder(base, lora=lora)
    assert "\n" not in str(error.value)


def test_frozen_layers_and_lora_exclude_each_other(base: str) -> None:
    with pytest.raises(UserError, match=re.escape("`lora` freezes all layers; say which it adapts by")):
        TransformerEncoder(base, lora=dict(OPTIONS), frozen_layers=1)


def test_tied_embeddings_are_adapted_whole_or_not_at_all(tmp_path: Path) -> None:
    saved(tmp_path, {**LLAMA, "tie_word_embeddings": True})
    with pytest.raises(UserError, match=r"`lora.target_modules` adapts the input embeddings, to which the output"):
        TransformerEncoder(str(tmp_path), lora={"target_modules": ["embed_tokens"]}).output_embedding()
    encoder = adapted(str(tmp_path), {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]})
    hidden = encoder.backbone(**inputs(encoder)).last_hidden_state
    logits = encoder.output_embedding()(hidden)
    encoder.merge_adapters()
    torch.testing.assert_close(encoder.output_embedding()(hidden), logits)


def test_adapters_of_tasks_beside_it_are_refused(base: str) -> None:
    with pytest.raises(UserError, match=r"this encoder has an adapter for all tasks; take `model.encoder.lora` out"):
        LoRA(["a", "b"], adapted(base))


def test_without_peft_there_is_one_line_of_what_to_install(base: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=re.escape("pip install 'mtl-lightning[lora]'")):
        TransformerEncoder(base, lora=dict(OPTIONS))


def test_files_of_another_model_are_one_line(base: str, tmp_path: Path) -> None:
    adapted(base).save_adapters(tmp_path / "files")
    for lora, message in (
        ({**OPTIONS, "r": 3}, "is [2, 16] there, [3, 16] here; set `lora`"),
        ({**OPTIONS, "target_modules": ["q_proj"]}, "it alone has 'layers.0.mlp.down_proj.lora_A.weight'; set `lora`"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            TransformerEncoder(base, lora=lora).load_adapters(tmp_path / "files")
    with pytest.raises(UserError, match="nowhere is no adapter of peft: "):
        adapted(base).load_adapters(tmp_path / "nowhere")


# -- what is refused, and other files of weights -----------------------------------------------------------------------
@pytest.mark.parametrize("name", ["load_in_4bit", "load_in_8bit", "quantization_config"])
def test_weights_of_a_few_bits_are_refused_without_cuda(name: str, base: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    value = {"load_in_4bit": True} if name == "quantization_config" else True
    with pytest.raises(UserError, match=f"`config.{name}` asks for CUDA, which this machine lacks; load unquantised"):
        TransformerEncoder(base, config={name: value})


def test_a_model_whose_weights_are_quantised_is_refused(base: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = Path(base, "config.json")
    config.write_text(
        config.read_text().replace("{", '{"quantization_config": {"quant_method": "gptq", "bits": 4},', 1)
    )
    with pytest.raises(UserError, match=r"the model's weights are quantised \(gptq\), and need CUDA, which this"):
        TransformerEncoder(base)
