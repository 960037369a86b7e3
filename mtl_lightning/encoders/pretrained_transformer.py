"""A model of the transformers library as the backbone: what of it writes, and the files that it is kept in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from transformers import GenerationConfig, GenerationMixin

from mtl_lightning.encoders.base import Assets, Contexts
from mtl_lightning.encoders.encoder_decoder import EncoderDecoder, PretrainedDecoder
from mtl_lightning.encoders.generation import Writer
from mtl_lightning.encoders.language_model import generator, head_class, is_causal, is_linear, new_output, tied
from mtl_lightning.encoders.layers import as_encoder, freeze, layers_by_depth, recompute
from mtl_lightning.encoders.lora import Lora, renamed
from mtl_lightning.encoders.pretrained import GENERATION, Loaded, load_generation
from mtl_lightning.encoders.prompt_cache import writes_behind
from mtl_lightning.encoders.staged import StagedEncoder
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.writing import temporary_folder, writing


class PretrainedTransformer(StagedEncoder):
    """An encoder whose backbone is a model of the transformers library, or the encoder of one.

    Attributes:
        backbone: What turns tokens into hidden states.
        is_causal: Whether its positions read nothing of those behind them.
        has_decoder: Whether it is the encoder of an encoder-decoder model.
        can_keep: Whether it can write behind inputs without reading them again; known once there is a ``writer``.
        generation: How the model generates unless it is told otherwise; null: it does not say.
        output: The output layer of a decoder-only model, where it is not tied and a task has asked for it.
        decoder: All of an encoder-decoder model but its encoder, where a task has asked for it.
    """

    processor: TextProcessor
    _gradient_checkpointing: bool

    def _take(self, loaded: Loaded, model: str | None, pretrained: bool) -> None:
        """Takes what was loaded.

        Args:
            loaded: The model.
            model: Its name or folder, if it has one.
            pretrained: Whether its weights were loaded from there.
        """
        self.pretrained = model is not None and pretrained
        self._parts: EncoderDecoder | None = loaded.parts
        self.backbone: Any = as_encoder(loaded.body)
        self.is_causal = loaded.parts is None and is_causal(self.backbone)
        self.features = int(self.backbone.config.hidden_size)
        self.generation: GenerationConfig | None = loaded.generation
        if model is not None and not (loaded.generation and pretrained) and (self.is_causal or loaded.parts):
            self.generation = load_generation(model) or loaded.generation
        if loaded.parts is not None:
            loaded.parts.decoder.generation_config = self.generation
        self.output: nn.Linear | None = None
        self.decoder: nn.Module | None = None
        self.can_keep = False
        self._lora: Lora | None = None
        self._generates = False
        self._loaded_output = (loaded.output,)  # in a tuple: it is part of the model from when it is asked for

    @property
    def has_decoder(self) -> bool:
        return self._parts is not None

    # -- what writes -------------------------------------------------------------------------------------------------
    def own_decoder(self, generation: Mapping[str, Any], prefix: str = "") -> PretrainedDecoder:
        """What writes with the decoder and output layer that the model itself has. They are part of this encoder from
        now on, the same ones whenever they are asked for.

        Args:
            generation: How: options of ``transformers.GenerationConfig``.
            prefix: Text that every text starts with, which is not part of it.

        Raises:
            UserError: If it is no encoder-decoder model, its weights came without the decoder's, or an option is
                unknown.
        """
        if self._parts is None:
            raise UserError(f"{type(self.backbone).__name__} has no decoder; give `model` one such as T5 or BART")
        if self._parts.lacks is not None:
            raise UserError(
                f"the weights of {type(self._parts.decoder).__name__} come without '{self._parts.lacks}'; name a "
                "folder in which the whole model was saved"
            )
        found = PretrainedDecoder(self._parts, self.processor.tokenizer, generation, prefix)
        if not self._generates:
            self.decoder, self._generates = self._parts.decoder.train(self.training), True
            self.recompute_in(None)
        return found

    def output_embedding(self) -> nn.Linear:
        """The model's own linear map from hidden states [..., D] to logits of the tokens [..., V].

        Its weight is the input embeddings' where these are tied. Otherwise the map is part of this encoder from now on,
        the same one whenever it is asked for; it trains if the input embeddings do.

        Raises:
            UserError: If the model is no causal language model, came without such a map, or does more than map
                linearly.
        """
        kind = type(self.backbone).__name__
        if not self.is_causal:
            does = "and leaves it to its decoder to write, in `Seq2Seq`" if self.has_decoder else "and generates none"
            raise UserError(f"{kind} reads texts as a whole {does}; give `model` a decoder-only model")
        if tied(self.backbone):
            output = new_output(self.backbone)
        else:
            output = self.output = self.output or self._own_output()
        if not self._generates and not is_linear(self.backbone, output):
            raise UserError(f"{kind} scales or caps its logits, which no head does here; choose another model")
        self._generates = True
        return output

    def generator(self, output: nn.Linear) -> GenerationMixin:
        """A causal language model around this backbone, which can ``generate``; nothing is copied.

        Args:
            output: From hidden states to logits, such as ``output_embedding``.

        Raises:
            UserError: If the architecture has more parts than these two.
        """
        return generator(self.backbone, output, self.generation)

    def writer(self, options: Mapping[str, Any]) -> Writer:
        """What writes behind prompts with options of ``transformers.GenerationConfig``."""
        self.can_keep = writes_behind(self.backbone)
        return Writer(self, options)

    def _own_output(self) -> nn.Linear:
        (output,) = self._loaded_output
        self._loaded_output = (None,)
        if output is None and self.pretrained and self.backbone.device.type != "meta":
            raise UserError(
                f"the weights of {type(self.backbone).__name__} come without those of its language-model head, and are "
                "not tied to the embeddings; name a folder in which the whole language model was saved"
            )
        output = output or new_output(self.backbone)
        output.train(self.training)  # from_pretrained leaves it in evaluation mode
        return output.requires_grad_(self.backbone.get_input_embeddings().weight.requires_grad)

    # -- what trains -------------------------------------------------------------------------------------------------
    def _adapt(self, options: Mapping[str, Any]) -> None:
        """Gives the whole model an adapter; see :class:`Lora`."""
        with self._whole() as model:
            self._lora = Lora(model, options)

    def _freeze(self, embeddings: bool, layers: int) -> None:
        """Freezes parts of the backbone, and the output layer with the embeddings; see :func:`.layers.freeze`."""
        freeze(self.backbone, embeddings, layers)
        if embeddings and self._parts is not None:
            self._parts.decoder.get_output_embeddings().requires_grad_(False)

    def recompute_in(self, contexts: Contexts | None) -> None:
        if self._gradient_checkpointing:
            for model in filter(None, (self.backbone, self.decoder)):
                recompute(model, {} if contexts is None else {"context_fn": contexts})

    def layers_by_depth(self) -> list[list[nn.Parameter]]:
        """Embeddings and all that comes before the first layer, then each layer."""
        return layers_by_depth(self.backbone)

    # -- files -------------------------------------------------------------------------------------------------------
    @contextmanager
    def _whole(self) -> Iterator[Any]:
        """The backbone, or the model that it is the encoder of."""
        if self._parts is None:
            yield self.backbone
        else:
            with self._parts.whole() as model:
                yield model

    def _names(self, generates: bool) -> tuple[str, str | None]:
        """What names of the backbone's parameters begin with in the whole model, and what peft calls that."""
        if self._parts is not None:
            return "", "SEQ_2_SEQ_LM"
        causal = head_class(self.backbone) if generates else None
        return ("", None) if causal is None else (f"{causal.base_model_prefix}.", "CAUSAL_LM")

    def save_adapters(self, folder: Path) -> None:
        with self._whole():
            self._adapter().save(folder, *self._names(self._generates))

    def load_adapters(self, folder: Path) -> None:
        with self._whole():
            self._adapter().load(folder, self._names(generates=True)[0])

    def merge_adapters(self) -> None:
        if self._lora is not None:
            with self._whole():
                merged, self._lora = self._lora.merge(), None
            self.backbone = merged if self._parts is None else self.backbone

    def renamed(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        return renamed(state, self.state_dict())

    def save_pretrained(self, folder: Path) -> None:
        state = None if self._parts is None or self._generates else self._parts.own_state()
        with self._whole() as model, writing(folder):
            if self._generates and self._parts is None:
                model = self.generator(self.output_embedding())
            model.save_pretrained(folder, state_dict=state)
            self.processor.tokenizer.save_pretrained(folder)

    def _adapter(self) -> Lora:
        if self._lora is None:
            raise UserError("the encoder has no adapter; give it one with `model.encoder.lora`, or tasks by LoRA")
        return self._lora

    def assets(self) -> Assets:
        with temporary_folder() as folder:
            with self._whole() as model, writing(folder, hint="set TMPDIR to a folder with some space"):
                model.config.save_pretrained(folder)
                self.processor.tokenizer.save_pretrained(folder)
                if self.generation is not None:
                    self.generation.to_json_file(folder / GENERATION)
            files = {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.is_file()}
        fixed: dict[str, Any] = {"model": "{folder}", "config": None, "pretrained": False, "tokenizer": None}
        fixed |= {"gguf_file": None, "lora": None if self._lora is None else self._lora.options}
        read = {"max_length": self.processor.max_length, "sub_word": self.processor.sub_word}
        return Assets(files, {**fixed, **read, **self.processor.conversations.named})
