"""Magnitude pruning by Lightning's callback: a run is killed, resumed bitwise with its masks, tested and exported."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny
import torch
import yaml
from lightning.pytorch.callbacks import ModelPruning
from safetensors.torch import load_file
from torch import nn

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.training.pruned import keep_originals, prune_for_good, share_of_zeros

PRUNED = (
    "--trainer.callbacks+=ModelPruning",
    "--trainer.callbacks.pruning_fn=l1_unstructured",
    "--trainer.callbacks.parameter_names=[weight]",
    "--trainer.callbacks.amount=0.3",
)
KINDS = {
    "lottery ticket": PRUNED,
    "masks kept": (
        *PRUNED,
        "--trainer.callbacks.use_lottery_ticket_hypothesis=false",
        "--trainer.callbacks.make_pruning_permanent=false",
    ),
}
ZEROS = 1 - 0.7**3
KEPT = (
    "--trainer.callbacks+=ModelCheckpoint",
    "--trainer.callbacks.every_n_train_steps=10",
    "--trainer.callbacks.dirpath=kept",
    "--trainer.callbacks.filename=killed",
)


@pytest.fixture(scope="module", params=KINDS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """``whole``, and ``part``, resumed from what it had in the middle of its third epoch, and nothing else."""
    folder = tmp_path_factory.mktemp("pruned")
    tiny.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tiny.fit("whole", *KINDS[request.param], *KEPT, "--trainer.max_epochs=3") == 0
        assert main(["fit", "--ckpt_path=kept/killed.ckpt", "--trainer.default_root_dir=part"]) == 0
        yield folder


def test_a_resumed_run_is_bitwise_the_uninterrupted_one(runs: Path) -> None:
    names = tiny.check_same_states(runs)
    assert any("encoder" in name for name in names) and any("heads" in name for name in names)


def test_a_checkpoint_has_the_zeros_of_all_epochs(runs: Path) -> None:
    model = mtl_lightning.load(runs / "part" / "checkpoints" / "last.ckpt")
    prune_for_good(model)
    assert share_of_zeros(model) == pytest.approx(ZEROS, abs=0.03)


@pytest.mark.parametrize("runs", ["masks kept"], indirect=True)
def test_it_is_tested_and_its_zeros_are_exported(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.chdir(runs)
    assert main(["test", "--ckpt_path", "part/checkpoints/last.ckpt"]) == 0
    for form in ("torch", "onnx"):
        capsys.readouterr()
        last = "part/checkpoints/last.ckpt"
        assert main(["export", "--ckpt_path", last, "--format", form, "--output", form]) == 0
        assert "of the checkpoint's weights are zero" in capsys.readouterr().out
    written = load_file("torch/model.safetensors")
    assert not [name for name in written if name.endswith(("_orig", "_mask"))]
    zeros = [(tensor == 0).float().mean() for tensor in written.values() if tensor.dim() > 1]
    graph = onnx.load("onnx/features.onnx").graph
    arrays = [a for a in map(onnx.numpy_helper.to_array, graph.initializer) if a.ndim > 1 and a.dtype == np.float32]
    assert sum(int((a == 0).sum()) for a in arrays) == sum(int((t == 0).sum()) for t in written.values() if t.dim() > 1)
    assert zeros and max(zeros) > 0.3


def test_the_kept_configuration_names_the_function(runs: Path) -> None:
    callback, _ = yaml.safe_load((runs / "part" / "config.yaml").read_text())["trainer"]["callbacks"]
    assert callback["init_args"]["pruning_fn"] == "l1_unstructured"


def test_a_lottery_ticket_is_set_back_to_the_same_values_each_time() -> None:
    """Lightning itself would hand out the original values, and set them back to what was trained since."""
    layer = nn.Linear(3, 2)
    callback = ModelPruning("l1_unstructured", parameter_names=["weight"], amount=1)
    start = layer.weight.detach().clone()
    callback.setup(None, nn.Sequential(layer), "fit")  # type: ignore[arg-type]
    for _ in range(2):
        callback._run_pruning(0)
        assert torch.equal(layer.weight_orig, start)
        keep_originals(callback)
        with torch.no_grad():
            layer.weight_orig += 1  # type: ignore[operator]
