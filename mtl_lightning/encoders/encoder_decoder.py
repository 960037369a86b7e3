"""Encoder-decoder models of the transformers library: the encoder is a backbone, the decoder writes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutput

from mtl_lightning.encoders.generation import DecoderWriter
from mtl_lightning.encoders.layers import positions_of
from mtl_lightning.encoders.shown_text import token_text
from mtl_lightning.errors import UserError


def is_encoder_decoder(architecture: PretrainedConfig) -> bool:
    """Whether transformers has a model of an encoder and a decoder of this architecture, which reads and writes texts.

    Folders that hold the encoder of such a model alone say that they are none.
    """
    kind = type(architecture)
    has_decoder = architecture.is_encoder_decoder or kind in MODEL_FOR_TEXT_ENCODING_MAPPING
    return kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING and has_decoder


class EncoderDecoder:
    """A model in two parts, each of which can be registered by itself, so that no module has two names.

    Args:
        model: It loses its encoder.
        lacks: Name of a parameter that its weights came without; null: none, or it is meant to be random.

    Attributes:
        encoder: The model's encoder.
        decoder: The model without its encoder: embeddings, decoder and output layer. It runs, and generates, where it
            is given what the encoder has made.
        lacks: See above.
    """

    def __init__(self, model: PreTrainedModel, lacks: str | None = None) -> None:
        self.encoder: Any = model.get_encoder()
        self.decoder: Any = model
        self.lacks = lacks
        place = next(name for name, module in model.named_modules() if module is self.encoder)
        self._parent, _, self._name = place.rpartition(".")
        delattr(model.get_submodule(self._parent), self._name)

    @contextmanager
    def whole(self) -> Iterator[PreTrainedModel]:
        """The model with its encoder, inside this context."""
        parent = self.decoder.get_submodule(self._parent)
        setattr(parent, self._name, self.encoder)
        try:
            yield self.decoder
        finally:
            delattr(parent, self._name)

    def own_state(self) -> dict[str, Tensor]:
        """Parameters and buffers of the encoder alone, under their names in the whole model."""
        start = f"{self._parent}.{self._name}." if self._parent else f"{self._name}."
        return {f"{start}{name}": tensor for name, tensor in self.encoder.state_dict().items()}


class PretrainedDecoder:
    """Writes a text while it looks at what the encoder has made of another one.

    Args:
        parts: The model.
        tokenizer: Its tokenizer.
        generation: How it writes: options of ``transformers.GenerationConfig``.
        prefix: Text that every text starts with, which is not part of it.

    Raises:
        UserError: If the model does not say with which token a text starts, or the tokenizer with which it ends; or if
            an option is unknown, or may not be set.
    """

    def __init__(
        self, parts: EncoderDecoder, tokenizer: PreTrainedTokenizerBase, generation: Mapping[str, Any], prefix: str = ""
    ) -> None:
        self._parts, self._tokenizer = parts, tokenizer
        said = (
            getattr(each, "decoder_start_token_id", None)
            for each in (self._model.config, self._model.generation_config)
        )
        self._start = next((each for each in said if each is not None), None)
        self._end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
        if self._start is None:
            raise UserError(
                f"the configuration of {type(self._model).__name__} does not say with which token a text starts; set "
                "the encoder's `config: {decoder_start_token_id: …}`"
            )
        if self._end is None:
            raise UserError("the tokenizer has no token to end a text with; choose another")
        told = tokenizer(prefix, add_special_tokens=False, verbose=False)["input_ids"] if prefix else []
        self._beginning = [self._start, *told]
        self._write = DecoderWriter(self._model, generation, self._beginning, self._end, self.num_positions)

    @property
    def _model(self) -> Any:
        return self._parts.decoder

    @property
    def num_tokens(self) -> int:
        """V, the number of tokens that have logits."""
        return int(self._model.get_output_embeddings().weight.shape[0])

    @property
    def num_positions(self) -> int:
        """Longest text that can be written, in tokens; a very large number where there is no limit."""
        return positions_of(self._model.config.get_text_config(decoder=True), "decoder") + 1 - len(self._beginning)

    def build(self, features: int) -> nn.Module:
        """Checks the width of what is looked at; nothing is the task's own.

        Raises:
            UserError: If it is not the encoder's.
        """
        if features != (width := self._parts.encoder.config.hidden_size):
            raise UserError(
                f"the model's own decoder looks at {width} features, but here are {features}; choose a sharing that "
                "leaves the encoder's as they are, such as HardSharing"
            )
        return nn.Identity()

    def encode(self, text: str) -> list[int]:
        """The tokens of a text as the tokenizer makes them of a target, with an end."""
        found: list[int] = self._tokenizer(text_target=text, verbose=False)["input_ids"]
        return found if self._end in found else [*found, self._end]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens, without special ones."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def shown(self, tokens: Sequence[int]) -> str:
        """Tokens, special ones too, as a person reads each of them."""
        return " ".join(token_text(self._tokenizer, token) for token in tokens)

    def logits(self, seen: Any, targets: Tensor) -> Tensor:
        """Logits of the targets [B, T, V], each with those before it given.

        Args:
            seen: What the encoder has made [B, S, D], and where that is real [B, S].
            targets: Tokens [B, T], negative behind the last one.
        """
        beginning = targets.new_tensor(self._beginning).expand(len(targets), -1)
        found: Tensor = self._model(
            encoder_outputs=BaseModelOutput(seen[0].to(self._model.dtype)),
            attention_mask=seen[1],
            decoder_input_ids=torch.cat([beginning, targets[:, :-1].clamp(min=0)], 1),
            use_cache=False,
        ).logits
        return found[:, len(self._beginning) - 1 :]

    def write(self, seen: Any) -> Tensor:
        """What is written [B, M], see :class:`.DecoderWriter`."""
        return self._write(seen)
