"""What becomes of an adapted model: a plain one, a checkpoint, files that peft reads, and the way back."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from lightning.pytorch import Trainer
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import prune

import mtl_lightning
from mtl_lightning import sharing as sharings
from mtl_lightning.__main__ import main
from mtl_lightning.chains import ClassifierChain
from mtl_lightning.checkpoints import CHECKPOINT_KEY, AtomicCheckpointIO
from mtl_lightning.encoders import PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import HardSharing, LoRA
from mtl_lightning.sharing.adapting import LowRankSharing
from mtl_lightning.tasks import SequenceClassification
from mtl_lightning.training.module import MultiTaskModule

FEATURES = {"features": torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).tolist()}
BERT = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
}
LOW_RANK = {
    name: cls
    for name in sharings.__all__
    if isinstance(cls := getattr(sharings, name), type) and issubclass(cls, LowRankSharing)
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any) -> Iterator[Path]:
    """The folder of a run with a LoRA per task."""
    folder: Path = tmp_path_factory.mktemp("adapted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tiny.write(folder)
        lora = ["--model.sharing=LoRA", "--model.sharing.rank=2", "--model.optimizer.init_args.lr=0.1"]
        assert tiny.fit("lora", *lora, "--evaluate=none") == 0
        yield folder


@pytest.fixture
def model(run: Path) -> MultiTaskModule:
    return mtl_lightning.load(run / "lora" / "checkpoints" / "best.ckpt")


def speaker(sharing: Callable[..., Any] = LoRA, seed: int = 0, **options: Any) -> MultiTaskModule:
    torch.manual_seed(seed)
    encoder = TransformerEncoder(config=BERT, tokenizer="characters:ascii", dropout=0.0)
    tasks: Any = {name: SequenceClassification(labels=["p", "q"]) for name in ("mood", "topic")}
    made = MultiTaskModule(encoder, tasks, sharing=lambda names, encoder: sharing(names, encoder, **options))
    made.build()
    for parameter in made.sharing.parameters():
        nn.init.normal_(parameter, std=0.2)
    return made.eval()


def hidden(model: MultiTaskModule, task: str, text: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model.sharing(text, [task])[task].pooled


TEXT = {"input_ids": torch.tensor([[5, 9, 12], [7, 6, 20]]), "attention_mask": torch.ones(2, 3, dtype=torch.long)}


# -- merging ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("task", ["cls", "reg"])
def test_a_merged_model_is_plain_and_predicts_the_same(model: MultiTaskModule, task: str) -> None:
    wanted = [row[task] for row in model.predict(FEATURES)]
    merged = model.merge(task)
    assert type(merged.sharing) is HardSharing and list(merged.tasks) == [task]
    assert not list(merged.sharing.parameters())
    for found, row in zip(merged.predict(FEATURES), wanted, strict=True):
        for key, value in row.items():
            assert found[task][key] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-5))
    assert [row[task] for row in model.predict(FEATURES)] == wanted, "the model itself is as it was"


def test_a_merged_model_is_a_checkpoint_like_others(model: MultiTaskModule, run: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(run)
    merged = model.merge("cls")
    merged.save("merged/cls.ckpt")
    assert mtl_lightning.load("merged/cls.ckpt").predict(FEATURES) == merged.predict(FEATURES)
    predict = ["predict", "--ckpt_path=merged/cls.ckpt", "--input=val.jsonl", "--output=merged/cls.jsonl"]
    assert main(predict) == 0
    assert len(Path("merged/cls.jsonl").read_text().splitlines()) == 12


def test_a_model_of_several_data_sets_is_merged_into_one_of_those_of_its_task(
    model: MultiTaskModule, run: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(run)
    assert model.config is not None
    config = deepcopy(model.config)
    (source,) = config["data"]["datasets"].values()
    sets = {task: deepcopy(source) for task in ("cls", "reg")}
    for task, each in sets.items():
        each["init_args"]["labels"] = {task: source["init_args"]["labels"][task]}
    chances = {"class_path": "FixedProbabilities", "init_args": {"probabilities": {"cls": 0.5, "reg": 0.5}}}
    config["data"] |= {"datasets": sets, "batch_size": {"cls": 4, "reg": 3}, "schedule": chances, "tasks": list(sets)}
    model.keep_config(config, model.config_is_own)
    model.merge("cls").save("one_of_two.ckpt")
    assert main(["predict", "--ckpt_path=one_of_two.ckpt", "--input=val.jsonl", "--output=one_of_two.jsonl"]) == 0
    assert main(["test", "--ckpt_path=one_of_two.ckpt", "--trainer.default_root_dir=one_of_two"]) == 0


def test_a_merged_model_is_not_trained(model: MultiTaskModule, run: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(run)
    merged = model.merge("reg")
    trainer = Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, accelerator="cpu", enable_model_summary=False
    )
    with pytest.raises(UserError, match="this model was merged from LoRA and is a plain one; train the"):
        trainer.fit(merged, train_dataloaders=[0], val_dataloaders=[0])
    merged.save("reg.ckpt")
    capsys.readouterr()
    assert tiny.fit("again", "--ckpt_path=reg.ckpt") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_model_whose_masks_prune_it_is_not_merged(model: MultiTaskModule) -> None:
    prune.l1_unstructured(model.encoder.layers[0], "weight", 0.5)  # type: ignore[no-untyped-call]
    with pytest.raises(UserError, match=r"make pruning permanent with `torch.nn.utils.prune.remove`"):
        model.merge("reg")
    prune.remove(model.encoder.layers[0], "weight")  # type: ignore[no-untyped-call]
    plain, own = (each.predict(FEATURES)[0]["reg"]["value"] for each in (model.merge("reg"), model))
    assert plain == pytest.approx(own, rel=1e-5)


def test_what_somebody_else_may_have_written_is_not_signed_anew(run: Path, tmp_path: Path) -> None:
    def saved_again(checkpoint: dict[str, Any]) -> dict[str, Any]:
        AtomicCheckpointIO().save_checkpoint(checkpoint, tmp_path / "first.ckpt")
        mtl_lightning.load(tmp_path / "first.ckpt").merge("cls").save(tmp_path / "second.ckpt")
        return AtomicCheckpointIO().load_checkpoint(tmp_path / "second.ckpt")[CHECKPOINT_KEY]

    checkpoint = AtomicCheckpointIO().load_checkpoint(run / "lora" / "checkpoints" / "best.ckpt")
    assert "signature" in saved_again(checkpoint)
    del checkpoint[CHECKPOINT_KEY]["signature"]
    assert "signature" not in saved_again(checkpoint)


def test_what_cannot_be_merged_is_one_line(model: MultiTaskModule) -> None:
    with pytest.raises(UserError, match="`tasks`: unknown task 'cl'; did you mean 'cls'"):
        model.merge("cl")
    with pytest.raises(UserError, match=r"model.sharing: BottleneckAdapters cannot be merged"):
        speaker(sharings.BottleneckAdapters).merge("mood")
    with pytest.raises(UserError, match="the model has no heads yet"):
        MultiTaskModule(PerceptronEncoder(3), {"a": SequenceClassification()}).merge("a")
    tasks: Any = {name: SequenceClassification(labels=["p", "q"]) for name in ("a", "b")}
    chained = MultiTaskModule(PerceptronEncoder(3), tasks, chain={"b": ClassifierChain(["a"])})
    chained.build()
    with pytest.raises(UserError, match=r"model.chain: 'b' reads a, so that no plain model computes it"):
        chained.merge("b")
    assert list(chained.merge("a").tasks) == ["a"]


# -- files of peft ----------------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 on transformers 5
@pytest.mark.parametrize("cls", LOW_RANK.values(), ids=LOW_RANK)
def test_peft_computes_the_same_from_the_files_alone(cls: type[LowRankSharing], tmp_path: Path) -> None:
    model = speaker(cls)
    model.save_adapters(tmp_path)
    for task in model.tasks:
        plain = deepcopy(speaker(HardSharing).encoder.backbone)
        loaded = PeftModel.from_pretrained(plain, str(tmp_path / task)).eval()
        with torch.no_grad():
            found = loaded(**TEXT).last_hidden_state.mean(1)
        torch.testing.assert_close(found, hidden(model, task, TEXT), rtol=1e-5, atol=1e-5)


def test_files_hold_the_matrices_and_nothing_else(tmp_path: Path) -> None:
    speaker(rank=3).save_adapters(tmp_path)
    matrices = 8 * 3 * (8 + 8) * 4  # maps · rank · (in + out) · bytes
    assert matrices < (tmp_path / "mood" / "adapter_model.safetensors").stat().st_size < matrices + 4000
    assert {path.name for path in (tmp_path / "mood").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}


def test_adapters_come_back_whatever_alpha_they_had(tmp_path: Path) -> None:
    model, other = speaker(rank=2, alpha=5.0), speaker(rank=2, alpha=1.0)
    model.save_adapters(tmp_path)
    other.load_adapters(tmp_path)
    for task in model.tasks:
        torch.testing.assert_close(hidden(other, task, TEXT), hidden(model, task, TEXT))


def _misfits() -> dict[str, tuple[Callable[[], MultiTaskModule], str]]:
    shared = "an adapter in a file does not say which part of it is shared with other tasks; start from the run"
    return {
        "rank": (lambda: speaker(rank=4), "the adapter of 'mood' has rank 2, this model 4; set `rank: 2`"),
        "targets": (lambda: speaker(rank=2, targets=["query"]), "is for other maps: it alone has 'encoder.layer.0.att"),
        "shared": (lambda: speaker(rank=2, shared_rank=1), shared),
        "sharing": (lambda: speaker(HardSharing), "the encoder has no adapter; give it one with `model.encoder.lora`"),
        "weights": (lambda: speaker(rank=2, seed=1), "another backbone than this BertModel: its weights are others"),
    }


@pytest.mark.parametrize("name", _misfits())
def test_adapters_for_another_model_are_one_line(name: str, tmp_path: Path) -> None:
    speaker(rank=2).save_adapters(tmp_path)
    make, message = _misfits()[name]
    with pytest.raises(UserError, match=re.escape(message)) as error:
        make().load_adapters(tmp_path)
    assert "\n" not in str(error.value)


def test_a_model_keeps_its_adapters_where_one_of_those_in_a_folder_does_not_fit(tmp_path: Path) -> None:
    speaker(rank=2).save_adapters(tmp_path)
    speaker(rank=3).save_adapters(tmp_path / "other")
    shutil.copytree(tmp_path / "other" / "topic", tmp_path / "topic", dirs_exist_ok=True)
    model = speaker(rank=2)
    for parameter in model.sharing.parameters():
        nn.init.ones_(parameter)
    with pytest.raises(UserError, match="the adapter of 'topic' has rank 3, this model 2"):
        model.load_adapters(tmp_path)
    assert all((parameter == 1).all() for parameter in model.sharing.parameters())


def test_adapters_of_another_architecture_or_other_tasks_are_one_line(tmp_path: Path, model: MultiTaskModule) -> None:
    speaker(rank=2).save_adapters(tmp_path)
    with pytest.raises(UserError, match="has no adapter of the task 'cls'; choose from mood, topic"):
        model.load_adapters(tmp_path)
    for here, there in (("cls", "mood"), ("reg", "topic")):
        shutil.move(tmp_path / there, tmp_path / here)
    with pytest.raises(UserError, match=r"another backbone than this PerceptronEncoder: this one has no linear map"):
        model.load_adapters(tmp_path)
    model.save_adapters(tmp_path)
    wide = MultiTaskModule(PerceptronEncoder(3, [7]), dict(model.tasks), sharing=LoRA)
    with pytest.raises(UserError, match=r"layers\.0 maps 3 to 4 numbers there, 3 to 7 here"):
        wide.load_adapters(tmp_path)


def test_no_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no adapter of the task 'mood'; it needs mood/adapter_config\.json"):
        speaker().load_adapters(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (None, "mood is no adapter of peft: "),
        ({"lora_alpha": "much"}, "mood is no adapter of peft: "),
        ({"alpha_pattern": {"(": 3}}, "mood is no adapter of peft: "),
        ({"alpha_pattern": ["a"]}, "mood is no adapter of peft: "),
        ({"peft_type": "nothing"}, "mood is no adapter of peft: "),
        ({"peft_type": "IA3"}, "mood is no LoRA, but of the type "),
    ],
    ids=["weights", "alpha", "pattern", "patterns", "unknown", "another"],
)
@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments")
def test_broken_files_are_one_line(changes: dict[str, Any] | None, message: str, tmp_path: Path) -> None:
    model = speaker(rank=2)
    model.save_adapters(tmp_path)
    if changes is None:
        (tmp_path / "mood" / "adapter_model.safetensors").write_bytes(b"nothing")
    else:
        config = tmp_path / "mood" / "adapter_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    with pytest.raises(UserError, match=re.escape(message)) as error:
        model.load_adapters(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("up", "about", "message"),
    [
        ((8, 1), "", "mood is no plain LoRA: the matrices of encoder.layer.0.attention.output.dense cannot be multi"),
        ((8,), "", "mood is no plain LoRA: the matrices of encoder.layer.0.attention.output.dense cannot be multi"),
        ((8, 2), "null", "mood is no adapter of peft: "),
        ((8, 2), "[" * 9999, "mood is no adapter of peft: "),
        ((8, 2), str([True] * 8).lower(), "mood is no adapter of peft: "),
    ],
    ids=["another rank", "a vector", "null", "deep", "booleans"],
)
def test_odd_matrices_and_marks_are_one_line(up: tuple[int, ...], about: str, message: str, tmp_path: Path) -> None:
    model = speaker(rank=2)
    model.save_adapters(tmp_path)
    path = tmp_path / "mood" / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors["base_model.model.encoder.layer.0.attention.output.dense.lora_B.weight"] = torch.zeros(up)
    save_file(tensors, path, metadata={"format": "pt"} | ({"backbone": about} if about else {}))
    with pytest.raises(UserError, match=re.escape(message)) as error:
        model.load_adapters(tmp_path)
    assert "\n" not in str(error.value)


def test_without_peft_there_is_one_line_of_what_to_install(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=re.escape("pip install 'mtl-lightning[lora]'")):
        speaker().save_adapters(tmp_path)


def test_a_run_with_adapters_starts_from_one_without(run: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(run)
    assert tiny.fit("hard", "--evaluate=none") == 0
    trained = mtl_lightning.load("hard/checkpoints/best.ckpt")
    tasks: Any = {"cls": SequenceClassification(**trained.tasks["cls"].adapted())}
    started = MultiTaskModule(PerceptronEncoder(3, [4]), tasks, sharing=LoRA)
    started.start_from("hard")
    started.build()
    inputs = {"features": torch.tensor(FEATURES["features"])}
    started.eval()
    torch.testing.assert_close(started(inputs)["cls"], trained(inputs)["cls"])
