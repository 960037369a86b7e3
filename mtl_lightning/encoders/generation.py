"""What a model of the transformers library writes, behind prompts or while it looks at what an encoder has made."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from mtl_lightning.encoders.layers import num_positions
from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.encoders.prompt_cache import Read, behind
from mtl_lightning.errors import UserError, did_you_mean

DEFAULTS: Mapping[str, Any] = {"max_new_tokens": 64, "do_sample": False, "num_beams": 1}
"""What holds where nothing is said, also where the model's own configuration says otherwise."""

_NOT_OPTIONS = {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"}
_NOT_OPTIONS |= {"return_dict_in_generate", "use_cache", "max_length"}
"""Options that are set here."""

_FRACTIONS = ("top_p", "typical_p")
"""Options that have no effect where they are no fractions of 1."""

_OF_CHOICE = {*DEFAULTS, "min_new_tokens", "temperature", "top_k", "top_p", "min_p", "typical_p"}
"""Options that say how the next token is chosen by its probability alone, and how many there are."""


class Generation:
    """How texts are written.

    Sampled tokens depend on the run's seed and what they are written for, not on what was drawn before.

    Args:
        options: Of ``transformers.GenerationConfig``; see ``DEFAULTS``.
        fixed: Those that are no choice.

    Raises:
        UserError: If an option is unknown, may not be set, or has a value that it cannot have.
    """

    def __init__(self, options: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
        known = sorted(set(GenerationConfig().to_dict()) - _NOT_OPTIONS)
        for name in options:
            if name not in known:
                raise UserError(f"`generation` has the unknown option '{name}'; {did_you_mean(name, known)}")
        self._options = {**DEFAULTS, **options, **fixed, "use_cache": True}
        if type(number := self._options["max_new_tokens"]) is not int or number < 1:
            raise UserError(f"`generation.max_new_tokens` must be a number from 1 on, found {number!r}")
        if options.keys() - {"max_new_tokens"}:
            _check(options)
            _try(self._options)

    @torch.no_grad()
    def __call__(self, make: Callable[[], Any], source: Tensor, room: int, **inputs: Any) -> Tensor:
        """What a model writes, with what it was given before it.

        Args:
            make: Makes the model.
            source: The tokens [B, L] that it writes for.
            room: How many tokens it has positions for.
            inputs: Of its ``generate``.
        """
        with _own_draws(source.device):
            model = make()
            torch.manual_seed((torch.initial_seed() + int(source.sum())) % 2**63)
            longest = min(self._options["max_new_tokens"], max(room, 1))
            config = GenerationConfig(**{**self._options, "max_new_tokens": longest})
            found: Tensor = model.generate(**inputs, generation_config=config)
        return found


def _check(options: Mapping[str, Any]) -> None:
    """Raises :class:`UserError` if one has a value that transformers takes, and that does not do."""
    if (number := options.get("num_return_sequences", 1)) != 1:
        raise UserError(f"`generation.num_return_sequences` must be 1, for a prompt has one text; found {number!r}")
    least, most = options.get("min_new_tokens"), options.get("max_new_tokens", DEFAULTS["max_new_tokens"])
    if isinstance(least, int) and least > most:
        raise UserError(f"`generation.min_new_tokens` is {least}, but at most {most} are written (`max_new_tokens`)")
    for name in _FRACTIONS:
        value = options.get(name, 1)
        if not (isinstance(value, int | float) and 0 < value <= 1):
            raise UserError(f"`generation.{name}` must lie between 0 and 1, found {value!r}")


@torch.no_grad()
def _try(options: Mapping[str, Any]) -> None:
    """Raises :class:`UserError` if no model could write so: a very small one is let write as little as it may."""
    size = {"vocab_size": 2**18, "hidden_size": 2, "intermediate_size": 2}
    config = AutoConfig.for_model("llama", num_hidden_layers=1, num_attention_heads=1, **size)
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config)
        try:
            few = {"max_new_tokens": min(options["max_new_tokens"], max(options.get("min_new_tokens") or 1, 1))}
            model.generate(
                torch.zeros(1, 2, dtype=torch.long), generation_config=GenerationConfig(**{**options, **few})
            )
        except (ValueError, TypeError, ArithmeticError, AttributeError, RuntimeError, OSError) as error:
            raise UserError(f"`generation`: {' '.join(str(error).split())}") from error


class Writer:
    """Writes behind prompts.

    Args:
        encoder: A TransformerEncoder whose model is a language model.
        options: See :class:`Generation`.

    Attributes:
        can_go_on: Whether it can write behind prompts that the model has read already: where each token is chosen by
            the model alone, not by what stands in the prompt, or among several beginnings.

    Raises:
        UserError: If an option is unknown, or may not be set.
    """

    def __init__(self, encoder: Any, options: Mapping[str, Any]) -> None:
        end = encoder.processor.conversations.end
        self._encoder = encoder
        self._generation = Generation(options, {"eos_token_id": end, "pad_token_id": end, "bos_token_id": None})
        self.can_go_on = options.keys() <= _OF_CHOICE and options.get("num_beams", 1) == 1

    def __call__(self, inputs: Mapping[str, Tensor], kept: Read | None = None) -> Tensor:
        """What the model writes behind each prompt [B, M], with end-of-sequence tokens behind it.

        Args:
            inputs: See :func:`prompts_of`.
            kept: What the model keeps of these inputs, which it need not read again; null: nothing.
        """
        prompts, real = prompts_of(inputs)
        output = self._encoder.output_embedding()
        room = num_positions(self._encoder.backbone) - prompts.shape[1]
        ids, mask = (prompts, real.long()) if kept is None else behind(inputs)
        given = {} if kept is None else {kept.name: kept.cache}
        found = self._generation(
            lambda: self._encoder.generator(output), prompts, room, inputs=ids, attention_mask=mask, **given
        )
        if kept is not None:
            kept.cache.crop(ids.shape[1] - 1 - kept.cache.get_seq_length())  # for the next task
        return found[:, ids.shape[1] :]


class DecoderWriter:
    """Writes while it looks at what an encoder has made.

    Args:
        decoder: An encoder-decoder model; its encoder is not run.
        options: See :class:`Generation`.
        beginning: The tokens that every text starts with, and which are not returned.
        end: The one that it ends with.
        positions: How many tokens it has positions for behind the first one.

    Raises:
        UserError: If an option is unknown, or may not be set.
    """

    def __init__(
        self, decoder: Any, options: Mapping[str, Any], beginning: Sequence[int], end: int, positions: int
    ) -> None:
        fixed = {"eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": beginning[0]}
        self._beginning = list(beginning)
        self._decoder = decoder
        self._generation = Generation(options, fixed)
        self._room = positions

    def __call__(self, seen: Any) -> Tensor:
        """What is written [B, M], with end-of-sequence tokens behind it.

        Args:
            seen: What the encoder has made [B, S, D], where that is real [B, S], and of which tokens [B, S].
        """
        states, mask, source = seen
        looked_at = {"encoder_outputs": BaseModelOutput(states.to(self._decoder.dtype)), "attention_mask": mask}
        looked_at["decoder_input_ids"] = source.new_tensor(self._beginning).expand(len(source), -1)
        with in_evaluation(self._decoder):
            found = self._generation(lambda: self._decoder, source, self._room, input_ids=source, **looked_at)
        return found[:, len(self._beginning) :]


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
