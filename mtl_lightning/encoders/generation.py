"""What a language model writes behind prompts."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from mtl_lightning.encoders.layers import num_positions
from mtl_lightning.errors import UserError, did_you_mean

DEFAULTS: Mapping[str, Any] = {"max_new_tokens": 64, "do_sample": False, "num_beams": 1}
"""What holds where nothing is said, also where the model's own configuration says otherwise."""

_NOT_OPTIONS = {"bos_token_id", "eos_token_id", "pad_token_id", "return_dict_in_generate", "use_cache", "max_length"}
"""Options that are set here."""


class Writer:
    """Writes behind prompts.

    Sampled tokens depend on the run's seed and the prompts, not on what was drawn before.

    Args:
        encoder: A TransformerEncoder whose model is a language model.
        options: Of ``transformers.GenerationConfig``; see ``DEFAULTS``.

    Raises:
        UserError: If an option is unknown, or may not be set.
    """

    def __init__(self, encoder: Any, options: Mapping[str, Any]) -> None:
        known = sorted(set(GenerationConfig().to_dict()) - _NOT_OPTIONS)
        for name in options:
            if name not in known:
                raise UserError(f"`generation` has the unknown option '{name}'; {did_you_mean(name, known)}")
        self._encoder = encoder
        self._options = {**DEFAULTS, **options}
        if type(number := self._options["max_new_tokens"]) is not int or number < 1:
            raise UserError(f"`generation.max_new_tokens` must be a number from 1 on, found {number!r}")
        self._end = encoder.processor.conversations.end

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the model writes behind each prompt [B, M], with end-of-sequence tokens behind it.

        Args:
            inputs: See :func:`prompts_of`.
        """
        prompts, real = prompts_of(inputs)
        output = self._encoder.output_embedding()
        with _own_draws(prompts.device):
            model: Any = self._encoder.generator(output)
            torch.manual_seed((torch.initial_seed() + int(prompts.sum())) % 2**63)
            config = self._config(room=num_positions(self._encoder.backbone) - prompts.shape[1])
            found: Tensor = model.generate(prompts, attention_mask=real.long(), generation_config=config)
        return found[:, prompts.shape[1] :]

    def _config(self, room: int) -> GenerationConfig:
        fixed = {"eos_token_id": self._end, "pad_token_id": self._end, "bos_token_id": None, "use_cache": True}
        longest = min(self._options["max_new_tokens"], max(room, 1))
        return GenerationConfig(**{**self._options, **fixed, "max_new_tokens": longest})


def _own_draws(device: torch.device) -> AbstractContextManager[None]:
    """What is drawn inside, on the host and on a device, changes nothing outside."""
    if device.type == "cpu":
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device], device_type=device.type)


def prompts_of(inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Prompts that end together [B, P], filled up before them, and where they are real [B, P].

    Args:
        inputs: ``input_ids`` [B, L] of prompts with or without what follows, and ``prompt_length`` [B, 1].
    """
    lengths = inputs["prompt_length"]
    longest = int(lengths.max())
    places = torch.arange(longest, device=lengths.device) - longest + lengths
    ids = inputs["input_ids"].gather(1, places.clamp(min=0))
    real = places >= 0
    return ids.masked_fill(~real, 0), real
