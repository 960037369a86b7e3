"""Vision models of transformers."""

import json
from pathlib import Path

import pytest
import torch
from tiny import BERT, VISION

from mtl_lightning.encoders import Images, VisionEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import MTAN, BottleneckAdapters, CrossStitch, FiLM, SeparateEncoders, Sharing

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "widths"),
    [("resnet", {4: 4, 8: 6}), ("convnext", {4: 4, 8: 6}), ("vit", {8: 6}), ("swin", {8: 6})],
)
def test_a_model_gives_pooled_features_and_maps_by_stride(kind: str, widths: dict[int, int]) -> None:
    encoder = VisionEncoder(config=VISION[kind], images=Images(32)).eval()
    found = encoder({"image": IMAGES})
    assert found.pooled is not None and found.pooled.shape == (2, encoder.features) == (2, 6)
    assert encoder.map_widths == widths
    assert found.maps is not None
    assert {s: tuple(m.shape) for s, m in found.maps.items()} == {
        s: (2, width, 32 // s, 32 // s) for s, width in widths.items()
    }


@pytest.mark.parametrize("kind", ["resnet", "convnext"])
def test_a_model_is_the_composition_of_its_stages(kind: str) -> None:
    encoder = VisionEncoder(config=VISION[kind], images=Images(32)).eval()
    state = encoder.begin({"image": IMAGES})
    widths = [state.hidden.shape[1]]
    for stage in encoder.stages:
        state = stage(state)
        widths.append(state.hidden.shape[1])
    whole = encoder({"image": IMAGES}).pooled
    assert whole is not None and torch.allclose(state.hidden, whole, atol=1e-6)
    ended = encoder.end(state)
    assert ended.pooled is state.hidden
    maps = encoder({"image": IMAGES}).maps
    assert ended.maps is not None and maps is not None and ended.maps.keys() == maps.keys()
    assert all(torch.equal(ended.maps[stride], maps[stride]) for stride in maps)
    assert widths == encoder.widths
    staged = {id(p) for layer in encoder.layers_by_depth() for p in layer}
    assert {id(p) for p in encoder.parameters() if p.requires_grad} <= staged


def test_a_sharing_changes_the_maps_that_its_tasks_read() -> None:
    encoder = VisionEncoder(config=VISION["resnet"], images=Images(32))
    for made, reach in ((MTAN, 8), (CrossStitch, 20), (FiLM, 1), (SeparateEncoders, 18), (BottleneckAdapters, 4)):
        sharing = made(["a", "b"], encoder)
        assert isinstance(sharing, Sharing)
        maps = sharing({"image": IMAGES}, ["a", "b"])["a"].maps
        assert maps is not None and {stride: of.shape[1] for stride, of in maps.items()} == encoder.map_widths
        parts = list(sharing.own_parameters("a")) or list(sharing.parameters())
        total = torch.stack([each.square().sum() for each in maps.values()]).sum()
        found = torch.autograd.grad(total, [p for p in parts if p.requires_grad], allow_unused=True)
        assert sum(gradient is not None for gradient in found) >= reach, made


def test_maps_that_a_sharing_has_lost_are_not_there() -> None:
    encoder = VisionEncoder(config=VISION["resnet"], images=Images(32))
    state = encoder.begin({"image": IMAGES})
    for stage in encoder.stages:
        state = stage(state)
    assert encoder.end(state._replace(context={4: state.context[4]})).maps is None


def test_a_model_without_stages_is_run_whole() -> None:
    with pytest.raises(UserError, match="ViTModel cannot be cut into stages; choose ResNet, RegNet or"):
        VisionEncoder(config=VISION["vit"], images=Images(32)).begin({"image": IMAGES})


def test_a_frozen_model_trains_nothing_and_keeps_its_statistics() -> None:
    encoder = VisionEncoder(config=VISION["resnet"], images=Images(32), frozen=True).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder({"image": IMAGES})
    assert not any(p.requires_grad for p in encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_images_are_read_as_the_model_was_trained_and_its_assets_build_it_again(tmp_path: Path) -> None:
    settings = {
        "size": {"height": 32, "width": 24},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [1, 1, 2],
        "resample": 3,
    }
    VisionEncoder(config=VISION["resnet"], images=Images(32)).backbone.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    encoder = VisionEncoder(str(tmp_path)).eval()
    again = tmp_path / "again"
    again.mkdir()
    for name, text in encoder.assets().files.items():
        (again / name).write_text(text)
    other = VisionEncoder(str(again), pretrained=False).eval()
    other.load_state_dict(encoder.state_dict())
    for each in (encoder, other):
        plain = each.processor.plain
        assert plain.size == (32, 24) and plain.interpolation == "bicubic"
        assert plain.mean == [0.1, 0.2, 0.3] and plain.std == [1, 1, 2]
    assert torch.equal(other({"image": IMAGES}).pooled, encoder({"image": IMAGES}).pooled)
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(UserError, match=r"preprocessor_config\.json is no JSON"):
        VisionEncoder(str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`config` misses 'model_type'"),
        ({"config": {"model_type": "resnett"}}, "unknown 'resnett'; did you mean 'resnet'"),
        ({"config": BERT}, "BertModel reads no images alone"),
        ({"config": {"model_type": "resnet", "trust_remote_code": True}}, "is never run"),
        ({"model": "no/such"}, "cannot load 'no/such'"),
        ({"config": VISION["swin"], "images": Images(32), "pooling": "cls"}, "has no token `cls`; choose `mean`"),
        ({"config": VISION["vit"], "images": Images(20)}, "makes no features of an image of 20 x 20"),
    ],
)
def test_what_is_no_vision_model_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        VisionEncoder(**arguments)
