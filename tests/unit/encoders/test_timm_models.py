"""Models of timm, as transformers wraps them: imitations of three kinds everywhere, and timm's own where it is."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.models.timm_wrapper import modeling_timm_wrapper

from mtl_lightning.encoders import Images, VisionEncoder
from mtl_lightning.encoders.timm_models import _normalised
from mtl_lightning.errors import UserError

IMAGES = {"image": torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))}
KINDS = ("maps", "tokens", "channels last")


class Imitation(nn.Module):
    """What transformers asks of a model of timm: two stages, and a last norm.

    Args:
        kind: Whether the last features are maps [B, C, H, W], tokens [B, 1 + N, C] after one of the class, or maps with
            channels last.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 6, 2, 2)
        self.norm = nn.Identity() if kind == "maps" else nn.LayerNorm(6)
        self.pretrained_cfg = {
            **{"input_size": (3, 32, 32), "interpolation": "bicubic"},
            **{"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 2.0)},
        }

    def forward_intermediates(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        first = self.first(image)
        second = self.second(first)
        return self._end(second), [first, second]

    def _end(self, second: Tensor) -> Tensor:
        if self.kind == "maps":
            return second
        if self.kind == "channels last":
            return self.norm(second.permute(0, 2, 3, 1))
        tokens = second.flatten(2).mT
        return self.norm(torch.cat([tokens.mean(1, keepdim=True), tokens], 1))

    def forward_head(self, last: Tensor) -> Tensor:
        return {"maps": lambda: last.mean((2, 3)), "tokens": lambda: last[:, 0]}.get(
            self.kind, lambda: last.mean((1, 2))
        )()


@pytest.fixture
def timm(monkeypatch):
    made = SimpleNamespace(create_model=lambda architecture, **options: Imitation(architecture), __version__="imitated")
    monkeypatch.setattr(modeling_timm_wrapper, "requires_backends", lambda *needed: None)
    monkeypatch.setattr(modeling_timm_wrapper, "timm", made, raising=False)


def config(architecture: str) -> dict[str, Any]:
    return {"model_type": "timm_wrapper", "architecture": architecture}


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_pooled_as_it_was_trained_and_its_maps_are_normalised(kind):
    encoder = VisionEncoder(config=config(kind)).eval()
    found, inner = encoder(IMAGES), encoder.backbone.timm_model
    assert encoder.features == 6 and encoder.map_widths == {4: 4, 8: 6}
    last = inner._end(inner.second(inner.first(IMAGES["image"])))
    assert torch.equal(found.pooled, inner.forward_head(last))
    expected = last
    if kind == "tokens":
        expected = last[:, 1:].mT.unflatten(2, (4, 4))
    elif kind == "channels last":
        expected = last.permute(0, 3, 1, 2)
    assert torch.equal(found.maps[8], expected)
    assert torch.equal(found.maps[4], inner.first(IMAGES["image"]))


@pytest.mark.usefixtures("timm")
def test_images_are_read_as_the_model_was_trained_and_its_assets_build_it_again(tmp_path: Path):
    encoder = VisionEncoder(config=config("tokens"), frozen=True).eval()
    assets = encoder.assets()
    for name, text in assets.files.items():
        (tmp_path / name).write_text(text)
    other = VisionEncoder(str(tmp_path), pretrained=False).eval()
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(IMAGES).pooled, encoder(IMAGES).pooled)
    for each in (encoder, other):
        plain = each.processor.plain
        assert plain.size == (32, 32) and plain.interpolation == "bicubic"
        assert plain.mean == [0.1, 0.2, 0.3] and plain.std == [1, 1, 2]
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    with pytest.raises(UserError, match="cannot be cut into stages"):
        encoder.begin(IMAGES)


@pytest.mark.usefixtures("timm")
def test_the_classes_that_a_saved_model_had_are_left_out():
    saved = {**config("maps"), "model_args": {"num_classes": 5, "in_chans": 3}}
    assert VisionEncoder(config=saved).features == 6


def test_maps_whose_width_is_that_of_the_channels_are_no_tokens():
    last = torch.rand(2, 8, 8, 8)
    assert _normalised(last, last) is last


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed")
def test_without_timm_it_says_how_to_get_it():
    with pytest.raises(UserError, match=r"requires the timm library.*pip install 'mtl-lightning\[timm\]'"):
        VisionEncoder(config=config("resnet18"))


@pytest.mark.skipif(
    find_spec("timm") is None, reason="timm, and the torchvision of torch's own build, are not installed"
)
@pytest.mark.parametrize(
    ("architecture", "options", "widths"),
    [
        ("resnet18", {}, {2: 64, 4: 64, 8: 128, 16: 256, 32: 512}),
        ("vit_tiny_patch16_224", {"img_size": 64}, {16: 192}),
        ("swin_tiny_patch4_window7_224", {"img_size": 64}, {4: 96, 8: 192, 16: 384, 32: 768}),
    ],
)
def test_models_of_timm_itself(architecture, options, widths):
    encoder = VisionEncoder(config={**config(architecture), "model_args": options}, images=Images(64)).eval()
    found = encoder({"image": torch.rand(2, 3, 64, 64)})
    assert encoder.map_widths == widths and found.pooled.shape == (2, encoder.features)
    assert {s: m.shape[2:] for s, m in found.maps.items()} == {s: (64 // s, 64 // s) for s in widths}
