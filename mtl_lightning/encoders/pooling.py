"""One vector of the hidden states of a text [B, L, D], of which a mask [B, L] says which are real → [B, D]."""

from collections.abc import Callable

import torch
from torch import Tensor

from mtl_lightning.encoders.base import State


def pooled_over(inputs: dict[str, Tensor]) -> Tensor:
    """Which tokens are pooled: all real ones, or those of the prompt, where there is one; 1 or 0 [B, L]."""
    mask, prompt = inputs["attention_mask"], inputs.get("prompt_length")
    return mask if prompt is None else mask * (torch.arange(mask.shape[1], device=mask.device) < prompt)


def over(inputs: dict[str, Tensor], state: State) -> State:
    """The state of a cut transformer, which knows the tokens that are pooled."""
    return state._replace(context=state.context._replace(mask=pooled_over(inputs)))


def first(hidden: Tensor, mask: Tensor) -> Tensor:
    """The first token, real or not."""
    return hidden[:, 0]


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last real token, on whichever side the padding is."""
    position = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), position]


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the real tokens."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / torch.clamp(weights.sum(1), min=1)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cls": first, "mean": mean, "last": last}
