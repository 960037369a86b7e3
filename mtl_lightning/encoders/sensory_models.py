"""Loads models that read no text, from a folder or the Hugging Face hub: images, sounds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES
from transformers.utils import cached_file

from mtl_lightning.encoders.pretrained import OWN_CODE, guarded, is_without_weights, load_backbone
from mtl_lightning.encoders.timm_models import leave_out_head
from mtl_lightning.errors import UserError, did_you_mean


def load_vision_model(model: str | None, settings: Mapping[str, Any] | None, pretrained: bool) -> PreTrainedModel:
    """A model that reads images, without a head.

    Args:
        model: Its name or folder; null: ``settings`` say the architecture.
        settings: What replaces the model's own.
        pretrained: Whether its weights are loaded; false: they are random.

    Raises:
        UserError: If there is no such model or type of model, it does not read images alone, or it is one of timm,
            which is missing or does not know it.
    """
    try:
        body = load_body(model, settings, pretrained, "resnet")
    except ImportError as error:
        raise UserError(f"{' '.join(str(error).split())} (pip install 'mtl-lightning[timm]')") from error
    if body.main_input_name != "pixel_values":
        raise UserError(f"{type(body).__name__} reads no images alone; choose a vision model, such as ResNet or ViT")
    return body


def load_body(model: str | None, settings: Mapping[str, Any] | None, pretrained: bool, example: str) -> PreTrainedModel:
    """A model that reads no text, without a head.

    Args:
        model: Its name or folder; null: ``settings`` say the architecture.
        settings: What replaces the model's own.
        pretrained: Whether its weights are loaded; false: they are random.
        example: Of an architecture, for messages.

    Raises:
        UserError: If there is no such model or type of model.
    """
    given = dict(settings or {})
    if "trust_remote_code" in given:
        raise UserError("`config.trust_remote_code`: code that comes with a model is never run; leave it out")
    if model is not None:
        config = guarded(model, lambda: AutoConfig.from_pretrained(model, **given, **OWN_CODE))
    elif (kind := given.get("model_type")) is None:
        raise UserError(f"`config` misses 'model_type' (say `{example}`); give it, or name a `model`")
    elif kind not in CONFIG_MAPPING:
        raise UserError(f"`config.model_type` is the unknown '{kind}'; {did_you_mean(kind, CONFIG_MAPPING)}")
    else:
        config = AutoConfig.for_model(**given)
    leave_out_head(config)
    if config.model_type not in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES:
        return load_backbone(model if pretrained else None, config, None).body
    if is_without_weights():
        with torch.device("meta"):
            return AutoModel.from_config(config, **OWN_CODE)
    if model is None or not pretrained:
        return AutoModel.from_config(config, dtype=torch.get_default_dtype(), **OWN_CODE)
    options: dict[str, Any] = {"config": config, "dtype": torch.get_default_dtype(), **OWN_CODE}
    return guarded(model, lambda: AutoModel.from_pretrained(model, **options))


def load_input_settings(model: str | None, remedy: str) -> dict[str, Any]:
    """How a model was given its images or sounds, where its folder says so; empty: it does not.

    Args:
        model: Its name or folder; null: it has none.
        remedy: What a message advises beside getting it again.

    Raises:
        UserError: If what it says is no JSON.
    """
    if model is None:
        return {}
    lenient = dict.fromkeys(("_raise_exceptions_for_missing_entries", "_raise_exceptions_for_connection_errors"), False)
    path = cached_file(model, "preprocessor_config.json", **lenient)
    try:
        found = {} if path is None else json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); get it again, or remove it and {remedy}") from error
    return found if isinstance(found, dict) else {}
