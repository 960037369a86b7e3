"""Models of timm, which transformers wraps: how they read images, and what they give of them."""

from typing import Any

from torch import Tensor

from mtl_lightning.encoders.base import Representation

_INTERPOLATIONS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
"""Pillow's numbers."""


def is_timm_model(backbone: Any) -> bool:
    """Whether a model of transformers wraps one of timm.

    Args:
        backbone: The model.
    """
    return bool(backbone.config.model_type == "timm_wrapper")


def leave_out_head(config: Any) -> None:
    """Takes the number of classes out of what timm was told when the model was made; transformers says it is none.

    Args:
        config: Of a model, of timm or not.
    """
    if given := getattr(config, "model_args", None):
        config.model_args = {name: value for name, value in given.items() if name != "num_classes"}


def timm_settings(backbone: Any) -> dict[str, Any]:
    """How the model was given its images, in the words of an image processor of transformers.

    Args:
        backbone: The model, one of timm.
    """
    said = {**backbone.timm_model.pretrained_cfg, **(getattr(backbone.config, "pretrained_cfg", None) or {})}
    _, height, width = said["input_size"]
    return {
        "size": {"height": height, "width": width},
        "image_mean": list(said["mean"]),
        "image_std": list(said["std"]),
        "resample": _INTERPOLATIONS.get(said.get("interpolation", ""), 2),
    }


def num_channels(backbone: Any) -> int:
    """Of the images that the model reads.

    Args:
        backbone: The model, one of timm.
    """
    return int((backbone.config.model_args or {}).get("in_chans", 3))


def timm_representation(found: Any, height: int) -> Representation:
    """What the model gives, pooled as it was trained to be, and the last map of each stride.

    Args:
        found: The output of the model.
        height: Of the images, in pixels.
    """
    maps = {round(height / each.shape[2]): each for each in found.hidden_states}
    stride, plain = next(reversed(maps.items()))
    maps[stride] = _normalised(found.last_hidden_state, plain)
    return Representation(found.pooler_output.flatten(1), maps=maps)


def _normalised(last: Tensor, plain: Tensor) -> Tensor:
    """The last map [B, C, H, W] with the model's last norm, where it is one of tokens [B, N, C] or [B, H, W, C].

    Args:
        last: What comes of all layers.
        plain: The map without the norm.
    """
    if last.shape == plain.shape:
        return plain
    batch, channels, rows, columns = plain.shape
    tokens = last.flatten(1, -2) if last.shape[-1] == channels else last
    if tokens.dim() != 3 or tokens.shape[1] < rows * columns:
        return plain
    return tokens[:, -rows * columns :].mT.reshape(batch, channels, rows, columns)
