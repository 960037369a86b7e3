"""Writing behind prompts that a language model has read already: by the keys and values that it keeps of them."""

from collections.abc import Mapping
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from mtl_lightning.encoders.modes import in_evaluation

_CLOSE = 1e-4  # relative to the hidden states; a model that counts the positions of padding differs by more


class Read(NamedTuple):
    """What a model keeps of a batch.

    Attributes:
        name: What the model calls it.
        cache: Keys and values of all positions [B, L], padding too.
    """

    name: str
    cache: DynamicCache


def read(backbone: PreTrainedModel, arguments: Mapping[str, Tensor]) -> tuple[Tensor, Read | None]:
    """Hidden states of a batch [B, L, D], and what the model keeps of it; null where that is not all of it.

    Args:
        backbone: The body of a language model.
        arguments: What it reads, each [B, L].
    """
    known = signature(backbone.forward).parameters
    name = next((each for each in ("cache", "past_key_values") if each in known), None)
    cache = DynamicCache(config=backbone.config)
    if name is None or any(type(layer) is not DynamicLayer for layer in cache.layers):  # a sliding window, say
        return backbone(**arguments).last_hidden_state, None
    hidden: Tensor = backbone(**arguments, **{name: cache}, use_cache=True).last_hidden_state
    return hidden, Read(name, cache)


def behind(inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Tokens [B, L + 1] and mask [B, L + 1] to write behind prompts that were read up to position L.

    The last token of each prompt stands at the end once more, and of those before it the mask leaves out all others.

    Args:
        inputs: ``input_ids`` [B, L] of prompts with or without what follows, and ``prompt_length`` [B, 1].
    """
    ids, last = inputs["input_ids"], inputs["prompt_length"] - 1
    before = torch.arange(ids.shape[1], device=ids.device) < last
    token = ids.gather(1, last.clamp(min=0)).masked_fill(last < 0, 0)
    return torch.cat([torch.where(before, ids, token), token], 1), torch.cat([before, torch.ge(last, 0)], 1).long()


@torch.no_grad()
def writes_behind(backbone: PreTrainedModel) -> bool:
    """Whether a model reads a token as ever where padding lies between it and its prompt, found out by running it.

    One that counts positions by where tokens stand, whatever the mask says, does not.
    """
    if backbone.device.type == "meta":
        return False
    ids = torch.arange(2, device=backbone.device).unsqueeze(0)
    apart = torch.tensor([[1, 0, 1]], device=backbone.device)
    with in_evaluation(backbone):
        wanted = backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0, 1]
        _, kept = read(backbone, {"input_ids": ids, "attention_mask": apart[:, :2]})
        if kept is None:
            return False
        given: dict[str, Any] = {"input_ids": ids[:, 1:], "attention_mask": apart, kept.name: kept.cache}
        if "position_ids" in signature(backbone.forward).parameters:
            given["position_ids"] = ids[:, 1:]
        found = backbone(**given, use_cache=True).last_hidden_state[0, 0]
    bound = max(_CLOSE, 2 * torch.finfo(wanted.dtype).eps) * wanted.abs().max()
    return bool((found - wanted).abs().max() <= bound)
