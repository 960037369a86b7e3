"""Groups of parameters: learning rates by layer, and what does not decay."""

import logging
from functools import partial
from typing import Any

import pytest
from test_training_options import batch, fit, module_of
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import CrossStitch
from mtl_lightning.training.optimizers import make_optimizer
from mtl_lightning.training.parameter_groups import Grouping
from mtl_lightning.weighting import UncertaintyWeighting, UPGrad

TINY = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
GPT2 = {"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}


def text(**config: Any) -> TransformerEncoder:
    return TransformerEncoder(config=config, tokenizer="characters:ascii")


def names(encoder: Encoder) -> list[set[str]]:
    """Of the parameters of each layer, as groups have them."""
    found = {id(parameter): name for name, parameter in encoder.named_parameters()}
    groups = Grouping(layer_decay=0.5).groups(encoder, [], nn.Module())
    return [{found[id(parameter)] for parameter in group["params"]} for group in groups]


@pytest.mark.parametrize(
    ("encoder", "depths"),
    [
        (PerceptronEncoder(2, [3, 3]), [["layers.0."], ["layers.3."]]),
        (
            ConvolutionalEncoder(1, [2, 2], batch_norm=True),
            [["layers.0.", "layers.1."], ["layers.4.", "layers.5."], ["project"]],
        ),
        (
            text(model_type="bert", **TINY),
            [["backbone.embeddings."], ["backbone.encoder.layer.0."], ["backbone.encoder.layer.1."]],
        ),
        (text(**GPT2), [["backbone.wte.", "backbone.wpe."], ["backbone.h.0."], ["backbone.h.1.", "backbone.ln_f."]]),
    ],
    ids=["perceptron", "convolution", "bert", "gpt2"],
)
def test_layers_from_the_input_to_the_output(encoder: Encoder, depths: list[list[str]]) -> None:
    found = names(encoder)
    assert len(found) == len(depths)
    for layer, prefixes in zip(found, depths, strict=True):
        assert layer and all(name.startswith(tuple(prefixes)) for name in layer)
    assert sum(map(len, found)) == len(list(encoder.parameters()))


def test_a_layer_learns_slower_than_the_one_above_and_the_heads_fastest() -> None:
    module = module_of(UncertaintyWeighting, hidden=(6, 4, 4), layer_decay=0.5, head_lr_factor=2.0)
    (optimizer,) = fit(module, [batch(0)]).optimizers
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates == pytest.approx(
        {"encoder/0": 0.0025, "encoder/1": 0.005, "encoder/2": 0.01, "heads": 0.04, "weighting": 0.04}
    )


def test_a_sharing_names_what_learns_at_a_rate_of_its_own() -> None:
    stitched = partial(CrossStitch, lr_factor=10.0)
    module = module_of(UPGrad, sharing=stitched, layer_decay=0.5, head_lr_factor=2.0)
    (optimizer,) = fit(module, [batch(0)]).optimizers
    groups = {group["name"]: group for group in optimizer.param_groups}
    rates = {"encoder/0": 0.005, "encoder/1": 0.01, "sharing/units": 0.4, "heads": 0.04}
    assert {name: group["lr"] for name, group in groups.items()} == pytest.approx(rates)
    assert isinstance(module.sharing, CrossStitch)
    assert groups["sharing/units"]["params"] == list(module.sharing.units.parameters())
    assert len(groups["encoder/0"]["params"]) == 3 * 2


def test_a_schedule_multiplies_them() -> None:
    halve = partial(LambdaLR, lr_lambda=lambda step: 0.5**step)
    (optimizer,) = fit(module_of(UPGrad, layer_decay=0.5, lr_scheduler=halve), [batch(0)]).optimizers
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0025, 0.005, 0.01])


def test_a_schedule_that_sets_one_rate_for_all_is_said(caplog: pytest.LogCaptureFixture) -> None:
    one = partial(OneCycleLR, max_lr=0.1, total_steps=10)
    with caplog.at_level(logging.WARNING, "mtl_lightning"):
        fit(module_of(UPGrad, layer_decay=0.5, lr_scheduler=one), [batch(0)])
    assert "OneCycleLR sets one learning rate for all groups" in caplog.text


def test_norms_and_biases_do_not_decay() -> None:
    encoder = text(model_type="bert", **TINY)
    groups = Grouping(no_decay=True).groups(encoder, [nn.Linear(2, 2), nn.LayerNorm([2, 2])], nn.Module())
    assert [group["name"] for group in groups] == ["encoder", "encoder/no_decay", "heads", "heads/no_decay"]
    optimizer = make_optimizer(partial(AdamW, weight_decay=0.1), groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0, 0.1, 0]
    decaying, spared = (
        {name for name, p in encoder.named_parameters() if any(p is other for other in group["params"])}
        for group in optimizer.param_groups[:2]
    )
    assert all(name.endswith(".weight") and "LayerNorm" not in name for name in decaying)
    assert all(name.endswith(".bias") or "LayerNorm" in name for name in spared)
    assert len(optimizer.param_groups[3]["params"]) == 3


def test_sparing_them_without_any_decay_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mtl_lightning"):
        fit(module_of(UPGrad, no_decay=True, optimizer=partial(SGD, lr=0.1)), [batch(0)])
    assert "model.no_decay has no effect: SGD has no weight decay" in caplog.text


def test_tied_and_frozen_parameters() -> None:
    encoder = PerceptronEncoder(3, [3, 3, 3])
    encoder.layers[3].weight = encoder.layers[0].weight
    encoder.layers[6].requires_grad_(False)
    head = nn.Linear(3, 3)
    head.weight = encoder.layers[0].weight
    groups = {group["name"]: group for group in Grouping(layer_decay=0.5).groups(encoder, [head], nn.Module())}
    assert {name: len(group["params"]) for name, group in groups.items()} == {
        "encoder/0": 2,
        "encoder/1": 1,
        "heads": 1,
    }
    assert groups["encoder/0"]["lr_factor"] == 0.125, "layers that are frozen keep their places"


def test_as_before_without_these_options() -> None:
    module = module_of(UncertaintyWeighting)
    groups = module.parameter_groups()
    assert [(g["name"], g.get("weight_decay")) for g in groups] == [
        ("encoder", None),
        ("heads", None),
        ("weighting", 0.0),
    ]


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5])
def test_a_decay_out_of_its_range_is_refused(decay: float) -> None:
    with pytest.raises(UserError, match=r"model\.layer_decay must be above 0 and at most 1, found"):
        module_of(UPGrad, layer_decay=decay)


def test_an_encoder_that_knows_no_order_is_refused() -> None:
    class Own(PerceptronEncoder):
        layers_by_depth = Encoder.layers_by_depth

    with pytest.raises(UserError, match=r"model: Own does not say how its layers follow each other"):
        Grouping(layer_decay=0.9).groups(Own(2, [2]), [], nn.Module())
