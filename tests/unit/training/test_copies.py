"""Copies of parts of an encoder: where they start from, their learning rates, freezing and compiling."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import BackboneFinetuning, ModelCheckpoint
from test_training_options import batch, fit, module_of

from mtl_lightning import MultiTaskModule
from mtl_lightning.encoders import Encoder, PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import CrossStitch, HardSharing, HybridSharing, SeparateEncoders
from mtl_lightning.tasks import Regression
from mtl_lightning.training.compilation import compile_encoder
from mtl_lightning.training.starting import _originals
from mtl_lightning.weighting import UPGrad

TINY = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}


def text(kind: str, **options: Any) -> TransformerEncoder:
    return TransformerEncoder(
        config={"model_type": kind, **TINY}, tokenizer="characters:ascii", max_length=9, **options
    )


def trained(folder: Path, **options: Any) -> tuple[MultiTaskModule, Path]:
    module = module_of(UPGrad, **options)
    fit(module, [batch(0)], ModelCheckpoint(folder, "trained"), enable_checkpointing=True)
    return module, folder / "trained.ckpt"


@pytest.mark.parametrize("sharing", [SeparateEncoders, partial(HybridSharing, shared_stages=1)])
def test_they_start_from_the_encoder_of_a_checkpoint_without_them(
    sharing: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hard, checkpoint = trained(tmp_path)
    module = module_of(UPGrad, sharing=sharing)
    module.start_from(checkpoint)
    inputs = batch(0)["all"].inputs
    wanted = hard(inputs)
    for task, found in module(inputs).items():
        assert torch.equal(found, wanted[task])
    number = sum(parameter.numel() for parameter in module.sharing.parameters())
    assert f"sharing  {number} of {number} parameters, {number} of them copied from the encoder" in caplog.text


def test_they_start_from_their_own_where_a_checkpoint_has_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, checkpoint = trained(tmp_path, sharing=SeparateEncoders)
    module = module_of(UPGrad, sharing=SeparateEncoders)
    module.start_from(checkpoint)
    inputs = batch(0)["all"].inputs
    wanted = before(inputs)
    assert all(torch.equal(found, wanted[task]) for task, found in module(inputs).items())
    assert "copied from the encoder" not in caplog.text


def test_layers_that_are_one_have_one_original() -> None:
    module = MultiTaskModule(text("albert"), {name: Regression(0.0, 1.0) for name in "ab"}, sharing=SeparateEncoders)
    found = _originals(module)
    assert set(found) == {name for name in module.state_dict() if name.startswith("sharing.")}
    assert all(name.endswith(of.removeprefix("encoder.")) for name, of in found.items())


def test_they_learn_as_fast_as_their_originals() -> None:
    module = module_of(UPGrad, hidden=(6, 4, 4), sharing=partial(HybridSharing, shared_stages=1), layer_decay=0.5)
    stages, groups = module.encoder.stages, {group["name"]: set(group["params"]) for group in module.parameter_groups()}
    copies = [copy for copy, _ in module.sharing.copies()]
    assert list(groups) == ["encoder/0", "encoder/1", "encoder/2", "heads"]
    assert groups["encoder/0"] == set(stages[0].parameters())
    for number in (1, 2):
        held = [stages[number], *(list(copy.children())[number - 1] for copy in copies)]
        assert groups[f"encoder/{number}"] == {parameter for part in held for parameter in part.parameters()}
    assert groups["heads"] == set(module.heads.parameters())


def test_those_of_frozen_layers_are_frozen() -> None:
    encoder = text("bert", frozen_layers=1, freeze_embeddings=True)
    made = SeparateEncoders(["a", "b"], encoder)
    (pair,) = made.copies()
    trains = [[parameter.requires_grad for parameter in module.parameters()] for module in pair]
    assert trains[0] == trains[1]
    assert not all(trains[0]) and any(trains[0])


def test_they_are_frozen_and_unfrozen_with_the_backbone() -> None:
    class Seen(BackboneFinetuning):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            held = [*pl_module.encoder.parameters(), *pl_module.sharing.parameters()]
            seen.append({parameter.requires_grad for parameter in held})

    seen: list[set[bool]] = []
    module = module_of(UPGrad, sharing=SeparateEncoders)
    before = [parameter.clone() for parameter in module.sharing.parameters()]
    fit(module, [batch(0)], Seen(unfreeze_backbone_at_epoch=1), max_epochs=2)
    assert seen == [{False}, {True}]
    assert not any(map(torch.equal, before, module.sharing.parameters()))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch hides it but here
def test_each_stage_of_a_deep_encoder_is_compiled() -> None:
    graphs: list[int] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(1)
        return graph

    made = CrossStitch(["a", "b"], PerceptronEncoder(2, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]))
    parts = made.compiled_parts()
    for part in parts:
        part.compile = partial(part.compile, backend=backend)  # type: ignore[method-assign]
    inputs = {"features": torch.randn(3, 2)}
    wanted = made(inputs, ["a", "b"])
    with torch._dynamo.config.patch(recompile_limit=8):
        compile_encoder(made)
        found = made(inputs, ["a", "b"])
    assert all(torch.equal(found[task].pooled, wanted[task].pooled) for task in "ab")  # type: ignore[arg-type]
    assert len(graphs) == 10, "one for each form, which the copies use too"


def test_a_model_that_cannot_be_cut_is_run_whole_or_refused() -> None:
    encoder = TransformerEncoder(
        config={"model_type": "deberta-v2", "relative_attention": True, "conv_kernel_size": 3, **TINY},
        tokenizer="characters:ascii",
        max_length=9,
    )
    HardSharing(["a"], encoder).encoder.compile(backend="eager")
    assert SeparateEncoders(["a", "b"], encoder).copies()
    with pytest.raises(UserError) as refused:
        MultiTaskModule(encoder, {"a": Regression(), "b": Regression()}, sharing=CrossStitch)
    assert str(refused.value).startswith("model.sharing: DebertaV2Model cannot be cut into stages")
    assert "\n" not in str(refused.value)


def test_an_encoder_of_ones_own_that_is_not_cut_is_refused() -> None:
    class Own(Encoder):
        features = 2

        def forward(self, inputs: Any) -> Any:
            raise NotImplementedError

    with pytest.raises(UserError, match=r"^model\.sharing: Own does not say how it is cut into stages; derive it from"):
        MultiTaskModule(Own(), {"a": Regression(), "b": Regression()}, sharing=HybridSharing)
