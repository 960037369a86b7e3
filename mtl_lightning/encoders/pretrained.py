"""Loads what a transformer is made of, from a folder or the Hugging Face hub: tokenizer, architecture and weights."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.encoders.encoder_decoder import EncoderDecoder, is_encoder_decoder
from mtl_lightning.encoders.gguf_files import dense_options, forget_file, gguf_options
from mtl_lightning.encoders.learnt_tokenizer import number_of_tokens, unlearnt_tokenizer
from mtl_lightning.encoders.quantised import refuse_quantised
from mtl_lightning.errors import UserError, did_you_mean

OWN_CODE: dict[str, Any] = {"trust_remote_code": False}
"""Classes of transformers alone: otherwise it asks on the terminal whether to run what comes with a model."""


_WITHOUT_WEIGHTS: ContextVar[bool] = ContextVar("without weights", default=False)


@contextmanager
def without_weights() -> Iterator[None]:
    """Within it, models are made without weights, in no time and no memory; they can say what they are made of."""
    token = _WITHOUT_WEIGHTS.set(True)
    try:
        yield
    finally:
        _WITHOUT_WEIGHTS.reset(token)


def is_without_weights() -> bool:
    """Whether models are made so now."""
    return _WITHOUT_WEIGHTS.get()


def load_tokenizer(name: str, gguf_file: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of that name, or in that folder; ``characters:ascii``, ``characters:printable`` (with blanks),
    ``characters:cjk`` and ``learnt:1000``, which has yet to learn its tokens, need no file.

    Raises:
        UserError: If there is none.
    """
    if name.startswith("characters:"):
        return character_tokenizer(name.removeprefix("characters:"))
    if number_of_tokens(name) is not None:
        return unlearnt_tokenizer()
    options = {**gguf_options(name, gguf_file), **OWN_CODE}
    return guarded(name, lambda: AutoTokenizer.from_pretrained(name, **options))


def load_config(
    model: str | None,
    settings: dict[str, Any] | None,
    words: PreTrainedTokenizerBase,
    dropout: float | None,
    gguf_file: str | None = None,
) -> PretrainedConfig:
    """An architecture.

    Args:
        model: Whose; null: that of ``settings``.
        settings: What replaces the model's own.
        words: The tokenizer, which says how many tokens there are where nobody else does.
        dropout: Replaces all probabilities of dropout; null: they stay.
        gguf_file: The file in the model's folder that says it, where it is one of GGUF.

    Raises:
        UserError: If there is no such model or type of model, or its weights are quantised.
    """
    settings = dict(settings or {})
    if "trust_remote_code" in settings:
        raise UserError("`config.trust_remote_code`: code that comes with a model is never run; leave it out")
    if model is not None:
        options = {**gguf_options(model, gguf_file), **OWN_CODE}
        config = guarded(model, lambda: AutoConfig.from_pretrained(model, **settings, **options))
    elif (kind := settings.get("model_type")) is not None:
        if kind not in CONFIG_MAPPING:
            raise UserError(f"`config.model_type` is the unknown '{kind}'; {did_you_mean(kind, CONFIG_MAPPING)}")
        config = AutoConfig.for_model(**{"vocab_size": len(words), **_special_tokens(words), **settings})
        if is_encoder_decoder(config):
            _say_what_starts(config, words, settings)
    else:
        raise UserError("`config` misses 'model_type' (say `bert`); give it, or name a `model`")
    refuse_quantised(config, settings)
    if dropout is not None:
        for part in (config, *(each for each in vars(config).values() if isinstance(each, PretrainedConfig))):
            for name, value in part.to_dict().items():
                if ("dropout" in name or "pdrop" in name) and type(value) in (int, float):
                    setattr(part, name, dropout)
    return config


GENERATION = "generation_config.json"
"""The file in which a model's folder says how it generates."""


class Loaded(NamedTuple):
    """What a folder, or the hub, has of a model.

    Attributes:
        body: The model without a head.
        output: From hidden states to logits, where it was saved as a causal language model.
        generation: How it generates, where its folder says so.
        parts: Its encoder, which is the body, and the rest of it, where it is an encoder-decoder model.
    """

    body: PreTrainedModel
    output: nn.Linear | None = None
    generation: GenerationConfig | None = None
    parts: EncoderDecoder | None = None


def load_backbone(
    model: str | None, architecture: PretrainedConfig, attention: str | None, gguf_file: str | None = None
) -> Loaded:
    """A model of that architecture; its weights are of torch's default type, whatever they were saved in.

    Args:
        model: Whose weights it has; null: random ones.
        architecture: Its configuration.
        attention: The implementation; null: what transformers chooses.
        gguf_file: The file in the model's folder that has the weights, where it is one of GGUF.

    Raises:
        UserError: If there is no such model.
    """
    if is_encoder_decoder(architecture):
        return _load_both(model, architecture, attention, gguf_file)
    if _WITHOUT_WEIGHTS.get():
        with torch.device("meta"):
            body = AutoModel.from_config(architecture, **OWN_CODE)
        body.config._attn_implementation = attention or body.config._attn_implementation  # which need not be here
        return Loaded(body)
    options = {"attn_implementation": attention, "dtype": torch.get_default_dtype()}
    if model is None:
        return Loaded(AutoModel.from_config(architecture, **options, **OWN_CODE))
    options |= OWN_CODE
    if gguf_file is None and not _was_language_model(architecture):
        return Loaded(guarded(model, lambda: AutoModel.from_pretrained(model, config=architecture, **options)))
    options |= dense_options(gguf_file)
    whole = guarded(model, lambda: AutoModelForCausalLM.from_pretrained(model, config=architecture, **options))
    forget_file(whole)
    return Loaded(whole.base_model, whole.get_output_embeddings(), whole.generation_config)


def _load_both(
    model: str | None, architecture: PretrainedConfig, attention: str | None, gguf_file: str | None
) -> Loaded:
    """Encoder and decoder; arguments as of :func:`load_backbone`."""
    if gguf_file is not None:
        raise UserError(
            f"`gguf_file`: {architecture.model_type} is an encoder-decoder model, which is not read from GGUF here; "
            "name a folder of transformers"
        )
    architecture.is_encoder_decoder = True  # a folder of the encoder alone denies it
    options: dict[str, Any] = {"attn_implementation": attention, "dtype": torch.get_default_dtype(), **OWN_CODE}
    if _WITHOUT_WEIGHTS.get():
        with torch.device("meta"):
            whole = AutoModelForSeq2SeqLM.from_config(architecture, **OWN_CODE)
        parts = EncoderDecoder(whole)
    elif model is None:
        parts = EncoderDecoder(AutoModelForSeq2SeqLM.from_config(architecture, **options))
    else:
        options |= {"config": architecture, "output_loading_info": True}
        whole, found = guarded(model, lambda: AutoModelForSeq2SeqLM.from_pretrained(model, **options))
        parts = EncoderDecoder(whole, lacks=next(iter(sorted(found["missing_keys"])), None))
    return Loaded(parts.encoder, generation=parts.decoder.generation_config, parts=parts)


def load_generation(model: str) -> GenerationConfig | None:
    """How a language model generates, where its folder says so."""
    try:
        return GenerationConfig.from_pretrained(model, **OWN_CODE)
    except OSError:
        return None


def _say_what_starts(config: Any, words: PreTrainedTokenizerBase, settings: Mapping[str, Any]) -> None:
    """The tokens that a text of a decoder starts and ends with, where the settings leave it open."""
    special = _special_tokens(words)
    start = next((special[name] for name in ("bos_token_id", "pad_token_id", "eos_token_id") if name in special), None)
    said = {"decoder_start_token_id": start, "forced_eos_token_id": None}
    for name, value in said.items():
        if name not in settings:
            setattr(config, name, value)


def _was_language_model(architecture: PretrainedConfig) -> bool:
    """Whether a model was saved as a causal language model."""
    known = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(architecture), None)
    return known is not None and known.__name__ in (architecture.architectures or ())


def guarded(name: str, load: Callable[[], Any]) -> Any:
    """Runs ``load``; a model that is neither on disk nor on the hub becomes one clear line."""
    try:
        return load()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"cannot load '{name}' (a local folder, or a name on the Hugging Face hub): {reason}"
        ) from error


def _special_tokens(words: PreTrainedTokenizerBase) -> dict[str, int]:
    """The tokenizer's special tokens under the names that configurations give them."""
    found = {
        "pad_token_id": words.pad_token_id,
        "cls_token_id": words.cls_token_id,
        "sep_token_id": words.sep_token_id,
        "bos_token_id": words.bos_token_id if words.bos_token_id is not None else words.cls_token_id,
        "eos_token_id": words.eos_token_id if words.eos_token_id is not None else words.sep_token_id,
    }
    return {name: index for name, index in found.items() if index is not None}
