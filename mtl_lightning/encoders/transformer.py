"""Any encoder of the transformers library."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from os import fspath
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mtl_lightning.encoders.base import Representation, State
from mtl_lightning.encoders.cut_transformers import Cut, find_cut
from mtl_lightning.encoders.layers import longest_text, num_positions
from mtl_lightning.encoders.learnt_tokenizer import learn_tokens, number_of_tokens, take_tokens
from mtl_lightning.encoders.packing import PACKED, UNPACKED, row_length, run
from mtl_lightning.encoders.pooling import POOLINGS, over, pooled_over
from mtl_lightning.encoders.pretrained import load_backbone, load_config, load_tokenizer
from mtl_lightning.encoders.pretrained_transformer import PretrainedTransformer
from mtl_lightning.encoders.prompt_cache import read
from mtl_lightning.encoders.text import TextProcessor
from mtl_lightning.encoders.vocabularies import TOKENIZER
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedRows
from mtl_lightning.raw_labels.spans import Ends


class TransformerEncoder(PretrainedTransformer):
    """A transformer over sub-words; its representation is pooled [B, D] and, for ``tokens`` inputs, per word [B, L, D].

    Its stages are its layers; whatever comes before the first one, such as embeddings, is not cut. Of an
    encoder-decoder model, such as T5 or BART, it is the encoder; ``Seq2Seq`` tasks write with its decoder.

    Args:
        model: Name on the Hugging Face hub or local folder. Null: a model is built from ``config`` with random weights.
        config: Settings of the architecture, with its ``model_type``, for a model built from scratch; with ``model``,
            settings that replace the model's own.
        pretrained: Load the weights of ``model``. False: only its configuration and tokenizer.
        tokenizer: Name or folder of the tokenizer, where it is not the model's; ``characters:ascii``,
            ``characters:printable`` (keeps blanks, for models that write) and ``characters:cjk`` are character
            tokenizers that need no file; ``learnt:1000`` learns that many tokens, pieces of words, from the training
            data, for a model built from ``config``.
        pooling: ``mean`` over the tokens, the first token (``cls``), or the ``last`` one: in a decoder-only model, the
            only one that has read the whole text.
        max_length: Longest sequence in tokens; null: what the model and its tokenizer allow.
        split: How a string becomes words, where a data set maps one to ``tokens``.
        sub_word: Which sub-word of a word its label is read at. Null: the last one where the model is decoder-only,
            since the first has not seen the rest of the word; otherwise the first.
        gguf_file: File in the folder ``model`` that has weights, tokenizer and architecture in GGUF, quantised or not;
            they are made whole. Needs the extra ``gguf``.
        lora: Options of ``peft.LoraConfig``, such as ``{r: 8, lora_alpha: 16, target_modules: [q_proj, v_proj]}``: the
            model's own parameters stay as they are, and one adapter for all tasks trains, of a decoder that writes
            too. Needs the extra ``lora``.
        spans: Whether the ``end`` of a span, where a data set maps a column to ``spans``, is the position behind its
            last word (``exclusive``) or that of its last word (``inclusive``).
        overlap: Tokens that two windows of a long ``context`` have in common; null: a quarter of ``max_length``.
        freeze_embeddings: Keep the embeddings as they are, those of a decoder and its output layer too.
        frozen_layers: Number of layers, from the bottom, that stay as they are; -1: all of them. A decoder has none of
            them.
        gradient_checkpointing: Recompute activations in the backward pass, to save memory.
        dropout: Replaces every dropout probability of the architecture.
        chat_template: How ``messages`` become text: ``chatml``, ``plain``, the name of one of the tokenizer's own, or a
            Jinja template; null: the tokenizer's own.
        train_on: Which of the assistant's answers in ``messages`` are trained on: ``all``, or the ``last``.
        packing: Put the sequences of a batch one behind the other into rows of up to ``max_length`` tokens, each with
            attention and positions of its own: less padding, the same results.
        attention: Implementation of attention, see ``attn_implementation`` of transformers; null: its choice.
    """

    def __init__(
        self,
        model: str | None = None,
        config: dict[str, Any] | None = None,
        pretrained: bool = True,
        tokenizer: str | None = None,
        pooling: Literal["cls", "mean", "last"] = "mean",
        max_length: int | None = None,
        split: Literal["whitespace", "characters"] = "whitespace",
        sub_word: Literal["first", "last"] | None = None,
        gguf_file: str | None = None,
        lora: dict[str, Any] | None = None,
        spans: Ends = "exclusive",
        overlap: int | None = None,
        freeze_embeddings: bool = False,
        frozen_layers: int = 0,
        gradient_checkpointing: bool = False,
        dropout: float | None = None,
        attention: str | None = None,
        chat_template: str | None = None,
        train_on: Literal["all", "last"] = "all",
        packing: bool = False,
    ) -> None:
        super().__init__()
        model, tokenizer = (None if each is None else fspath(each) for each in (model, tokenizer))
        name = tokenizer or model
        if name is None:
            raise UserError("`tokenizer` is missing: a model built from `config` needs one, say `characters:ascii`")
        words = load_tokenizer(name, None if tokenizer else gguf_file)
        self._num_to_learn = number_of_tokens(name)
        if self._num_to_learn is not None:
            if model is not None:
                raise UserError(
                    f"`tokenizer: {name}`: {model} has learnt other tokens; leave `tokenizer` or `model` out"
                )
            config = {"vocab_size": self._num_to_learn, **(config or {})}
        architecture = load_config(model, config, words, dropout, gguf_file)
        self._take(load_backbone(model if pretrained else None, architecture, attention, gguf_file), model, pretrained)
        self.pooling = pooling
        length = longest_text(self.backbone, words.model_max_length, max_length)
        sub_word = sub_word or ("last" if self.is_causal else "first")
        rows = row_length(self.backbone, length) if packing else None
        self.processor = TextProcessor(
            words, length, split, sub_word, self.is_causal, chat_template, train_on, spans, rows, overlap
        )
        if lora is not None and frozen_layers:
            raise UserError("`lora` freezes all layers; say which it adapts by `lora.layers_to_transform`")
        if lora is not None:
            self._adapt(lora)
        self._freeze(freeze_embeddings, frozen_layers)
        self._gradient_checkpointing = gradient_checkpointing
        self.recompute_in(None)

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        arguments, starts = self._split(inputs)
        if self.keeps and self.can_keep and PACKED not in inputs and "prompt_length" in inputs:
            hidden, kept = read(self.backbone, arguments)
            return self._read(hidden, pooled_over(inputs), starts)._replace(kept=kept)
        return self._read(run(self.backbone, arguments, inputs), pooled_over(inputs), starts)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        nn.Module.compile(self, *args, **kwargs)  # the model is run whole, also one that cannot be cut

    # -- what it learns of the training data before it trains ---------------------------------------------------------
    @property
    def is_complete(self) -> bool:
        return self._num_to_learn is None

    def learn(self, rows: Iterable[CountedRows]) -> None:
        if self._num_to_learn is not None:
            learn_tokens(self.processor.tokenizer, self._num_to_learn, rows)

    def take_learnt(self, files: Mapping[str, str]) -> bool:
        number = self._num_to_learn or 0
        return TOKENIZER in files and take_tokens(self.processor.tokenizer, number, files[TOKENIZER])

    def complete(self) -> None:
        self._num_to_learn = None

    # -- stages ------------------------------------------------------------------------------------------------------
    def begin(self, inputs: dict[str, Tensor]) -> State:
        arguments, starts = self._split(inputs)
        return over(inputs, self._cut.begin(self.backbone, arguments, starts))

    @cached_property
    def stages(self) -> list[nn.Module]:
        """One a layer; the last one holds what follows it too, such as a final normalisation.

        Raises:
            UserError: If the model is not the composition of its layers.
        """
        return self._cut.stages()

    @property
    def widths(self) -> list[int]:
        return [self.features] * (len(self.stages) + 1)

    def pool(self, state: State) -> Tensor:
        """One vector an example of the state of any stage [B, D], made as the representation's is."""
        mask = state.context.mask
        return POOLINGS[self.pooling](state.hidden[:, -mask.shape[1] :], mask)

    def end(self, state: State) -> Representation:
        return self._read(state.hidden, state.context.mask, state.context.word_starts)

    @property
    def token_width(self) -> int:
        """Width of the input embeddings.

        Raises:
            UserError: If the longest text takes all positions.
        """
        length, positions = self.processor.max_length, num_positions(self.backbone)
        if length >= positions:
            raise UserError(
                f"model.sharing: a vector before {length} tokens needs one position more than the model has; set the "
                f"encoder's `max_length` to {positions - 1}"
            )
        return int(self.backbone.get_input_embeddings().weight.shape[1])

    def prepend(self, inputs: dict[str, Tensor], vector: Tensor) -> State:
        arguments, starts = self._split(inputs)
        words = self.backbone.get_input_embeddings()(arguments.pop("input_ids"))
        arguments = {name: torch.cat([value[:, :1], value], 1) for name, value in arguments.items()}
        first = vector.to(words).expand(len(words), 1, -1)
        embedded = {**arguments, "inputs_embeds": torch.cat([first, words], 1)}
        return over(inputs, self._cut.begin(self.backbone, embedded, starts))

    @cached_property
    def _cut(self) -> Cut:
        if self.processor.packs:
            raise UserError("model.sharing: an encoder that is cut into stages packs no batches; leave `packing` out")
        texts, device = ["a b c", "a", "b a"], next(self.backbone.parameters()).device
        encoded = self.processor.encode({"text": texts})
        examples = [{name: values[i] for name, values in encoded.items()} for i in range(len(texts))]
        batches = [self.processor.collate(examples[:number]) for number in (2, 3)]
        return find_cut(self.backbone, [{name: t.to(device) for name, t in batch.items()} for batch in batches])

    def _split(self, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor | None]:
        """What the model is called with, and where words start."""
        others = {"word_starts", "prompt_length", PACKED, UNPACKED, *self.processor.for_heads}
        return {name: value for name, value in inputs.items() if name not in others}, inputs.get("word_starts")

    def _read(self, hidden: Tensor, mask: Tensor, starts: Tensor | None) -> Representation:
        hidden = hidden[:, -mask.shape[1] :]  # without what was prepended
        states = None if self.decoder is None else hidden
        found = Representation(POOLINGS[self.pooling](hidden, mask), states=states)
        if starts is None:
            return found
        index = starts.clamp(min=0).unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
        return found._replace(tokens=hidden.gather(1, index), mask=starts >= 0)
