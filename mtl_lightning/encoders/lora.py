"""LoRA on a whole backbone, through peft: one adapter, which all that read the encoder share."""

import re
import warnings
from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.writing import replacing, writing

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME, _START = "default", "base_model.model."
_DOWN, _WRAPPED = ".lora_A.", ".base_layer."
_ELSEWHERE = {"task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"}
_ELSEWHERE |= {"inference_mode", "runtime_config", "layer_replication"}
_BASE_AS_IT_IS = (True, False, "gaussian", "orthogonal")


class Lora:
    """An adapter of peft inside of a backbone, whose own parameters are frozen.

    Args:
        backbone: A model of the transformers library; layers of it are replaced.
        options: Those of ``peft.LoraConfig``.

    Raises:
        UserError: If peft is missing, an option is none of peft's or not allowed here, or a target is no module.
    """

    def __init__(self, backbone: nn.Module, options: Mapping[str, Any]) -> None:
        peft = _peft()
        self._options = dict(options)
        _refuse_unknown(peft, options)
        _refuse_no_match(backbone, options.get("target_modules"))
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "fan_in_fan_out is set to")  # it is set right where it is not
                self._tuner: Any = peft.LoraModel(backbone, peft.LoraConfig(**options), _NAME)
        except (ValueError, TypeError, NotImplementedError, re.error) as error:
            raise UserError(f"`lora`: {' '.join(str(error).split())[:300]}") from error

    @property
    def options(self) -> dict[str, Any]:
        """The options, with the targets that were found: another release of peft may have others by default."""
        targets = self._tuner.peft_config[_NAME].target_modules
        return {**self._options, "target_modules": targets if isinstance(targets, str) else sorted(targets)}

    @torch.no_grad()
    def merge(self) -> nn.Module:
        """The backbone without the adapter, which has become part of its weights; this one is of no use then."""
        merged: nn.Module = self._tuner.merge_and_unload()
        return merged

    def save(self, folder: Path, prefix: str, task_type: str | None) -> None:
        """Writes the adapter alone, for ``PeftModel.from_pretrained``.

        Args:
            folder: Where to.
            prefix: What the names of the backbone's parameters begin with in the model that it is for.
            task_type: What peft calls that kind of model; null: a model without a head.

        Raises:
            UserError: If it cannot be written.
        """
        from safetensors.torch import save_file

        config = deepcopy(self._tuner.peft_config[_NAME])
        config.inference_mode, config.task_type = True, task_type
        config.base_model_name_or_path = getattr(self._tuner.model.config, "_name_or_path", None) or None
        with writing(folder):
            config.save_pretrained(str(folder))
        held = {f"{_START}{prefix}{name}": t.cpu().contiguous().clone() for name, t in self._state().items()}
        with replacing(folder / _WEIGHTS) as unfinished:
            save_file(held, unfinished, metadata={"format": "pt"})

    @torch.no_grad()
    def load(self, folder: Path, prefix: str) -> None:
        """Takes the adapter in a folder, of ``save`` or of peft.

        Args:
            folder: Where it is.
            prefix: What the names of the backbone's parameters may begin with there.

        Raises:
            UserError: If there is none, or it is for another model or has other options.
        """
        from safetensors.torch import load_file

        try:
            found = load_file(folder / _WEIGHTS)
        except Exception as error:  # of a file that anybody has written, safetensors may raise anything
            raise UserError(f"{folder} is no adapter of peft: {' '.join(str(error).split())[:200]}") from error
        taken = {name.removeprefix(_START).removeprefix(prefix): tensor for name, tensor in found.items()}
        own = self._state()
        if odd := sorted(own.keys() ^ taken.keys()):
            who = "this model" if odd[0] in own else "it"
            raise UserError(f"the adapter in {folder} is for other modules: {who} alone has '{odd[0]}'; set `lora`")
        for name, tensor in own.items():
            if tensor.shape != taken[name].shape:
                shapes = f"{list(taken[name].shape)} there, {list(tensor.shape)} here"
                raise UserError(f"the adapter in {folder} does not fit: {name} is {shapes}; set `lora`")
        for name, tensor in own.items():
            tensor.copy_(taken[name])

    def _state(self) -> dict[str, Tensor]:
        """The adapter's parameters under the names that peft gives them in files."""
        found: dict[str, Tensor] = _peft().get_peft_model_state_dict(self._tuner.model, save_embedding_layers=False)
        return found


def renamed(state: Mapping[str, Any], own: Collection[str]) -> dict[str, Any]:
    """The state of a trained encoder under the names that another one has, which may have an adapter beside.

    Args:
        state: By name.
        own: The names of the other one.

    Raises:
        UserError: If the trained one alone has an adapter, without which it computes something else.
    """
    if any(_DOWN in name for name in state) and not any(_DOWN in name for name in own):
        raise UserError(
            "init_from: that run trained an adapter; set the same `model.encoder.lora` here, or start from one that "
            "it is merged into: `mtl_lightning.load(RUN).merge(TASK).save(FILE)`"
        )
    wrapped = {name.replace(_WRAPPED, "."): name for name in own if _WRAPPED in name}
    return {wrapped.get(name, name): value for name, value in state.items()}


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise UserError(f"`lora` needs peft: pip install 'mtl-lightning[lora]' ({error})") from error
    return peft


def _refuse_unknown(peft: Any, options: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(peft.LoraConfig)} - _ELSEWHERE
    for name in options:
        if name not in known:
            raise UserError(f"`lora.{name}` is no option of peft's LoRA; {did_you_mean(str(name), known)}")
    if (init := options.get("init_lora_weights", True)) not in _BASE_AS_IT_IS:
        choices = ", ".join(str(each).lower() for each in _BASE_AS_IT_IS)
        raise UserError(
            f"`lora.init_lora_weights` is {init!r}, which changes the model itself or needs data; an adapter alone "
            f"would not do then; choose one of {choices}"
        )


def _refuse_no_match(backbone: nn.Module, targets: Any) -> None:
    """Of several names, peft passes over those that match nothing."""
    if not isinstance(targets, list | tuple):
        return
    names = [name for name, module in backbone.named_modules() if not list(module.children())]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name, _ in backbone.named_modules()):
            choices = names if "." in str(target) else {name.rpartition(".")[2] for name in names}
            raise UserError(f"`lora.target_modules`: '{target}' is no module; {did_you_mean(str(target), choices)}")
