"""Runs in which one adapter of the encoder trains for all tasks: weightings, resuming, prediction, what is left."""

import random
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from peft import PeftModel
from test_training_options import fit
from torch.optim import SGD
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.data import Batch
from mtl_lightning.encoders import TransformerEncoder, character_tokenizer
from mtl_lightning.tasks import CausalLM, Regression
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting.base import JacobianWeighting

LLAMA = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 32,
}
TEXTS = {"text": ["red", "a blue one"]}


def config() -> dict[str, Any]:
    made = deepcopy(tiny.CONFIG)
    settings = {"config": LLAMA, "tokenizer": "characters:ascii", "pooling": "last", "gradient_checkpointing": True}
    lora = {"r": 2, "lora_alpha": 8, "lora_dropout": 0.1}
    made["model"] |= {
        "encoder": {"class_path": "TransformerEncoder", "init_args": {**settings, "lora": lora}},
        "tasks": {"colour": "SequenceClassification", "size": "Regression"},
        "weighting": "UPGrad",
    }
    made["data"]["datasets"]["d"]["init_args"] |= {
        "inputs": {"text": "t"},
        "labels": {"colour": "c", "size": "n"},
    }
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("lora")
    draw = random.Random(3)
    for split, size in (("train", 20), ("val", 8)):
        words = [[draw.choice(("red", "blue")) for _ in range(draw.randint(1, 3))] for _ in range(size)]
        rows = [{"t": " ".join(each), "c": each[-1], "n": float(len(each))} for each in words]
        tiny.write_rows(made / f"{split}.jsonl", rows)
    with tiny.whole_run(made, config(), "--evaluate=none"):
        yield made


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def state(run: str) -> dict[str, Any]:
    return torch.load(f"{run}/checkpoints/last.ckpt", weights_only=False)


def test_a_resumed_run_is_bitwise_an_uninterrupted_one() -> None:
    tiny.interrupted("--evaluate=none")
    tiny.check_same_states()


def test_the_optimizer_has_the_adapter_and_the_heads_alone() -> None:
    states = state("whole")["optimizer_states"][0]["state"]
    assert len(states) == 2 * 2 * 2 + 2 * 2  # layers · query and value · matrices, heads · weight and bias


class Sum(JacobianWeighting):
    """The plain sum; it notes how many parameters its rows cover."""

    def prepare(self, num_parameters: int) -> None:
        self.num_parameters = num_parameters

    def forward(self, jacobian: torch.Tensor, losses: torch.Tensor, tasks: torch.Tensor) -> torch.Tensor:
        self.width = jacobian.shape[1]
        return jacobian.sum(0)


def test_the_rows_of_a_weighting_cover_the_adapter_alone() -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = config()["model"]["encoder"]["init_args"]
    tasks: Any = {name: Regression(0.0, 1.0) for name in "ab"}
    model = MultiTaskModule(TransformerEncoder(**settings), tasks, Sum, optimizer=partial(SGD, lr=0.1))
    model.build()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    inputs = {"input_ids": torch.tensor([[5, 9], [7, 6]]), "attention_mask": torch.ones(2, 2, dtype=torch.long)}
    targets = {name: torch.tensor([1.0, 2.0]) for name in "ab"}
    batch = Batch(inputs, targets, dict.fromkeys("ab", 2), dict.fromkeys("ab", 1.0), [0] * 2, 2)
    fit(model, [{"all": batch}], precision="32-true")
    size = 2 * 2 * (8 * 2 + 2 * 8)  # layers · query and value · matrices
    assert model.weighting.num_parameters == model.weighting.width == size
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name in before if "lora_B" in name or name.startswith("heads.")}  # A: where B is zero


def test_a_checkpoint_suffices_to_predict(folder: Path) -> None:
    assert main(["predict", "--ckpt_path=whole", "--input=val.jsonl", "--output=predicted.jsonl"]) == 0
    assert len(Path("predicted.jsonl").read_text().splitlines()) == 8


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 on transformers 5
def test_adapter_and_merged_model_read_the_same() -> None:
    model = mtl_lightning.load("whole/checkpoints/best.ckpt")
    assert any(name.endswith("lora_B.default.weight") and p.any() for name, p in model.named_parameters())
    wanted = model.predict(TEXTS)
    merged = model.merge("colour")
    assert [row["colour"]["label"] for row in merged.predict(TEXTS)] == [row["colour"]["label"] for row in wanted]
    merged.save("merged.ckpt")
    assert mtl_lightning.load("merged.ckpt").predict(TEXTS) == merged.predict(TEXTS)
    model.save_pretrained("plain", "colour")
    plain = AutoModel.from_pretrained("plain")
    inputs = {"input_ids": torch.tensor([[5, 9, 12]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    found = model.encoder.backbone(**inputs).last_hidden_state
    torch.testing.assert_close(plain(**inputs).last_hidden_state, found)
    model.save_adapters("adapter")
    backbone = mtl_lightning.load("whole/checkpoints/best.ckpt").encoder
    backbone.load_adapters(Path("adapter"))
    assert PeftModel.from_pretrained(plain, "adapter").peft_config["default"].r == 2


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 on transformers 5
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_that_writes_is_left_as_a_whole_language_model(tied: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = character_tokenizer("ascii")
    architecture = AutoConfig.for_model(**LLAMA, vocab_size=len(tokenizer), tie_word_embeddings=tied)
    AutoModelForCausalLM.from_config(architecture).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    tasks: Any = {"writing": CausalLM(), "size": Regression(0.0, 1.0)}
    model = MultiTaskModule(TransformerEncoder(str(tmp_path / "base"), lora={"r": 2}), tasks)
    model.build()
    for parameter in model.encoder.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    model.eval()
    inputs = {"input_ids": torch.tensor([[5, 9, 12]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    language: Any = model.encoder.generator(model.encoder.output_embedding())
    wanted = language(**inputs).logits
    model.save_pretrained(tmp_path / "whole", "writing")
    torch.testing.assert_close(AutoModelForCausalLM.from_pretrained(tmp_path / "whole")(**inputs).logits, wanted)
    model.save_adapters(tmp_path / "adapter")
    adapted = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    adapted = PeftModel.from_pretrained(adapted, str(tmp_path / "adapter")).eval()
    torch.testing.assert_close(adapted(**inputs).logits, wanted)
    merged: Any = model.merge("writing").encoder
    torch.testing.assert_close(merged.generator(merged.output_embedding())(**inputs).logits, wanted)


def test_an_adapter_starts_from_a_model_that_trained_without_one(capsys: Any) -> None:
    assert tiny.fit("hard", "--model.encoder.lora=null", "--trainer.max_epochs=1", "--evaluate=none") == 0
    capsys.readouterr()
    assert tiny.fit("soft", "--init_from=hard", "--trainer.max_epochs=1", "--evaluate=none") == 0
    one, other = (state(run)["state_dict"] for run in ("hard", "soft"))
    for name, tensor in one.items():
        if name.startswith("encoder."):
            wrapped = name.replace("_proj.weight", "_proj.base_layer.weight")
            assert torch.equal(tensor, other[wrapped] if wrapped in other else other[name])
