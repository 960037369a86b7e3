"""Adapters alone, one folder a task, as peft writes and reads them."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.sharing.adapting import Factors, LowRankSharing
from mtl_lightning.writing import replacing, writing

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_START, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_BACKBONE = "backbone"
_ROUNDED = 2**-8  # what the rounding of a backbone to bfloat16 changes at most


class _Libraries(NamedTuple):
    peft: Any
    safetensors: Any


def save_adapters(folder: Path, sharing: LowRankSharing) -> None:
    """Writes what each task adds to the backbone into ``<folder>/<task>``.

    Args:
        folder: Where to.
        sharing: Whose.

    Raises:
        UserError: If peft is missing, or something cannot be written.
    """
    libraries = _libraries()
    for task in sharing.tasks:
        factors, place = sharing.factors(task), folder / task
        with writing(place):
            _config(libraries, sharing.backbone, factors).save_pretrained(str(place))
        tensors = {f"{_START}{name}{_DOWN}": each.down for name, each in factors.items()}
        tensors |= {f"{_START}{name}{_UP}": each.up for name, each in factors.items()}
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        about = {"format": "pt", _BACKBONE: json.dumps(_fingerprint(sharing.backbone, factors))}
        with replacing(place / _WEIGHTS) as unfinished:
            libraries.safetensors.torch.save_file(held, unfinished, metadata=about)


def load_adapters(folder: Path, sharing: LowRankSharing) -> dict[str, dict[str, Factors]]:
    """The adapter of each task in ``<folder>/<task>``, of ``save_adapters`` or of peft, by task and linear map.

    Args:
        folder: Where they are.
        sharing: Whose tasks and backbone they are for.

    Raises:
        UserError: If one is missing or broken, or was made for another backbone.
    """
    libraries = _libraries()
    there = {path.parent.name for path in folder.glob(f"*/{_WEIGHTS}") if path.with_name(_CONFIG).is_file()}
    for task in sharing.tasks:
        if task not in there:
            hint = did_you_mean(task, there) if there else f"it needs {task}/{_CONFIG} and {task}/{_WEIGHTS}"
            raise UserError(f"{folder} has no adapter of the task '{task}'; {hint}")
    return {task: _read(libraries, folder / task, sharing.backbone) for task in sharing.tasks}


def _libraries() -> _Libraries:
    try:
        import peft
        import safetensors.torch
    except ImportError as error:
        raise UserError(f"adapters are files of peft: pip install 'mtl-lightning[lora]' ({error})") from error
    return _Libraries(peft, safetensors)


def _config(libraries: _Libraries, backbone: nn.Module, factors: Mapping[str, Factors]) -> Any:
    ranks = {name: len(each.down) for name, each in factors.items()}
    alphas = {name: _whole(each.scale * ranks[name]) for name, each in factors.items()}
    rank, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
    return libraries.peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=sorted(factors),
        rank_pattern={name: value for name, value in ranks.items() if value != rank},
        alpha_pattern={name: value for name, value in alphas.items() if value != alpha},
        base_model_name_or_path=getattr(getattr(backbone, "config", None), "_name_or_path", None) or None,
        inference_mode=True,
    )


def _read(libraries: _Libraries, place: Path, backbone: nn.Module) -> dict[str, Factors]:
    try:
        config = libraries.peft.PeftConfig.from_pretrained(str(place))
        with libraries.safetensors.safe_open(place / _WEIGHTS, "pt") as file:
            about, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        factors = _factors(place, config, tensors)
        _refuse_another_backbone(place, backbone, factors, about.get(_BACKBONE))
    except UserError:
        raise
    except Exception as error:  # of files that anybody has written, peft and torch may raise anything
        raise UserError(f"{place} is no adapter of peft: {' '.join(str(error).split())[:200]}") from error
    return factors


def _factors(place: Path, config: Any, tensors: Mapping[str, Tensor]) -> dict[str, Factors]:
    if config.peft_type != "LORA":
        raise UserError(f"{place} is no LoRA, but of the type {config.peft_type}")
    if odd := [name for name in tensors if not name.endswith((_DOWN, _UP))]:
        raise UserError(f"{place} is no plain LoRA: it holds '{odd[0]}'")
    factors = {}
    for name in sorted({name.removesuffix(_DOWN).removesuffix(_UP) for name in tensors}):
        down, up, name = tensors[f"{name}{_DOWN}"], tensors[f"{name}{_UP}"], name.removeprefix(_START)
        if down.dim() != 2 or up.dim() != 2 or len(down) != up.shape[1]:
            shapes = f"{list(up.shape)} and {list(down.shape)}"
            raise UserError(f"{place} is no plain LoRA: the matrices of {name} cannot be multiplied, {shapes}")
        alpha = _of(name, config.alpha_pattern, config.lora_alpha)
        factors[name] = Factors(down, up, alpha / (len(down) ** 0.5 if config.use_rslora else len(down)))
    return factors


def _refuse_another_backbone(
    place: Path, backbone: nn.Module, factors: Mapping[str, Factors], fingerprint: str | None
) -> None:
    """Compares names, shapes, and some of the weights where the file has them."""
    said = f"{place} was made for another backbone than this {type(backbone).__name__}: "
    linear = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.Linear)}
    for name, (down, up, _) in factors.items():
        if name not in linear:
            raise UserError(f"{said}this one has no linear map '{name}'")
        here, there = (linear[name].in_features, linear[name].out_features), (down.shape[1], up.shape[0])
        if here != there:
            raise UserError(f"{said}{name} maps {there[0]} to {there[1]} numbers there, {here[0]} to {here[1]} here")
    if fingerprint is not None:
        was, now = torch.tensor(json.loads(fingerprint)), torch.tensor(_fingerprint(backbone, factors))
        if was.shape != now.shape or not torch.allclose(was, now, rtol=_ROUNDED, atol=1e-8):
            raise UserError(f"{said}its weights are others; load those that the adapter was trained on")


def _fingerprint(backbone: nn.Module, names: Iterable[str]) -> list[float]:
    """The first weight of each adapted linear map."""
    return [backbone.get_submodule(name).weight.flatten()[0].item() for name in sorted(names)]  # type: ignore[operator]


def _of(name: str, pattern: Mapping[str, float] | None, otherwise: float) -> float:
    return next((value for key, value in (pattern or {}).items() if re.fullmatch(rf"(.*\.)?({key})", name)), otherwise)


def _whole(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number
