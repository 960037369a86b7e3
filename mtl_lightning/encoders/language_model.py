"""The causal language model whose body is an encoder's backbone: what it makes of hidden states, and generation."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForCausalLM,
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
)

from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.errors import UserError

_CLOSE = 1e-3  # relative to the logits; a model that scales or caps its logits differs by more


def is_causal(backbone: PreTrainedModel) -> bool:
    """Whether a position reads nothing of those behind it, found out by running the model on two tokens.

    Architectures that are trained to fill gaps are not run, nor those that are decoders with an encoder; without
    weights, all others are taken for such.
    """
    config = backbone.config
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or type(config) in MODEL_FOR_MASKED_LM_MAPPING:
        return False
    if config.is_encoder_decoder:
        return False
    if backbone.device.type == "meta":
        return True
    embedded: list[Tensor] = []

    def note(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    hook = backbone.get_input_embeddings().register_forward_hook(note)
    try:
        with in_evaluation(backbone), torch.enable_grad():
            first = backbone(**_two_tokens(backbone)).last_hidden_state[0, 0]
            (gradient,) = torch.autograd.grad(first.sum(), embedded[:1])
    finally:
        hook.remove()
    return not gradient[0, 1].any()


def new_output(backbone: PreTrainedModel) -> nn.Linear:
    """The linear map from hidden states to logits, as the architecture has it: with random weights, or with those of
    the input embeddings where it is tied to them.

    Raises:
        UserError: If it is tied to embeddings that have an adapter, which it would not share.
    """
    model = _unfinished(backbone)
    output: nn.Linear = model.get_output_embeddings()
    table = backbone.get_input_embeddings().weight
    if tied(backbone):
        if hasattr(backbone.get_input_embeddings(), "base_layer"):
            raise UserError(
                "`lora.target_modules` adapts the input embeddings, to which the output ones are tied; leave them "
                "out, or train them whole by `lora.modules_to_save`"
            )
        output.weight = table
    else:
        output.to_empty(device=table.device).to(table.dtype)
        with torch.no_grad():
            model._init_weights(output)
    output.weight.requires_grad_(table.requires_grad)
    return output


def head_class(backbone: PreTrainedModel) -> type[PreTrainedModel] | None:
    """The class of causal language models whose body is of this architecture."""
    found: type[PreTrainedModel] | None = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(backbone.config), None)
    return found


def tied(backbone: PreTrainedModel) -> bool:
    """Whether the output embedding is the input embedding."""
    return bool(backbone.config.get_text_config().tie_word_embeddings)


def generator(backbone: PreTrainedModel, output: nn.Linear, generation: GenerationConfig | None) -> GenerationMixin:
    """The causal language model of both parts, which are not copied; it can ``generate``.

    Args:
        backbone: Its body; what was added to its layers, such as LoRA, takes part.
        output: From hidden states to logits.
        generation: How the model generates unless it is told otherwise; null: as the architecture says.

    Raises:
        UserError: If the architecture has more parts than these two.
    """
    model = _unfinished(backbone)
    setattr(model, model.base_model_prefix, backbone)
    model.set_output_embeddings(output)
    if more := [name for name, parameter in model.named_parameters() if parameter.is_meta]:
        raise UserError(f"{type(model).__name__} cannot be built around its backbone: it has '{more[0]}' too")
    if generation is not None:
        model.generation_config = deepcopy(generation)
    model.training = backbone.training
    return model


@torch.no_grad()
def is_linear(backbone: PreTrainedModel, output: nn.Linear) -> bool:
    """Whether the logits of the language model are this linear map of its hidden states: not scaled, nor capped.

    Without weights, it is taken for granted.

    Args:
        backbone: Its body.
        output: From hidden states to logits.
    """
    if backbone.device.type == "meta":
        return True
    model: Any = generator(backbone, output, None)
    inputs = _two_tokens(backbone)
    with in_evaluation(backbone):
        logits: Tensor = model(**inputs).logits
        found: Tensor = output(backbone(**inputs).last_hidden_state)
    return bool((logits - found).abs().max() <= _CLOSE * found.abs().max())


def _two_tokens(backbone: PreTrainedModel) -> dict[str, Tensor]:
    ids = torch.arange(2, device=backbone.get_input_embeddings().weight.device).unsqueeze(0)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _unfinished(backbone: PreTrainedModel) -> Any:
    """The language model without any weights: all are on the meta device."""
    config = deepcopy(backbone.config)
    config.use_cache = True
    if backbone.device.type == "meta":
        config._attn_implementation = None  # it is not run, and its kernels need not be here
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, attn_implementation=config._attn_implementation)
