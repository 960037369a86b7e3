"""Texts, words and questions as token ids."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.base import Inputs
from mtl_lightning.inputs.beginnings import Beginnings
from mtl_lightning.inputs.input_kinds import InputKind, kind_of
from mtl_lightning.inputs.padding import padded
from mtl_lightning.inputs.running_text import RunningText
from mtl_lightning.inputs.several import NUM_SEQUENCES, flat, num_tokens
from mtl_lightning.inputs.spans import collate_spans
from mtl_lightning.inputs.texts import Texts
from mtl_lightning.inputs.tokenizers import FastTokenizer, described
from mtl_lightning.inputs.windows import CONTEXT, Windows
from mtl_lightning.inputs.word_lists import WordLists
from mtl_lightning.inputs.words import Words, listed_words, split_words
from mtl_lightning.raw_labels.spans import Ends

_PADDING = {"word_starts": -1, "answer": -100}


class TextInputs(Inputs):
    """The plain part of :class:`.TextProcessor`, which describes its inputs and arguments.

    Args:
        tokenizer: A fast tokenizer.
        max_length: Longest sequence in tokens, special ones included.
        split: How a string given for ``tokens`` becomes words.
        sub_word: Where the label of a word is read.
        runs_on: Whether words of a list and pairs of texts become running text, see :class:`.RunningText`.
        spans: What the ends of ``spans`` mean.
        overlap: Tokens that two windows of a ``context`` have in common; null: a quarter of ``max_length``.
        more: Further kinds of inputs, which come first.

    Raises:
        UserError: If there can be no such lengths.
    """

    inputs = ("text", "text_pair", "tokens", "spans", "choices", "texts", CONTEXT)
    placed_in = ("tokens", "choices")

    def __init__(
        self,
        tokenizer: FastTokenizer,
        max_length: int,
        split: Literal["whitespace", "characters"] = "whitespace",
        sub_word: Literal["first", "last"] = "first",
        runs_on: bool = False,
        spans: Ends = "exclusive",
        overlap: int | None = None,
        more: Sequence[InputKind] = (),
    ) -> None:
        if max_length < 1 or (overlap is not None and overlap < 0):
            raise UserError(f"there are no texts of {max_length} tokens at most, or windows that overlap by {overlap}")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._arguments = {
            "max_length": max_length,
            "split": split,
            "sub_word": sub_word,
            "runs_on": runs_on,
            "spans": spans,
            "overlap": overlap,
        }
        self.split = split
        self.running = RunningText(tokenizer, split) if runs_on else None
        breaks = "\n" if self.running is not None and self.running.breaks else ""
        shared = (tokenizer, max_length, self.running, Beginnings(tokenizer))
        self.windows = Windows(tokenizer, max_length, overlap, breaks)
        self.word_lists = WordLists(*shared, split, sub_word, spans)
        self.kinds = (*more, self.windows, self.word_lists, Texts(*shared))

    def check(self, inputs: Collection[str]) -> None:
        kind_of(inputs, self.kinds).check(inputs)

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        return kind_of(columns, self.kinds).encode(columns)

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        if NUM_SEQUENCES in examples[0]:
            parts, of_examples = flat(examples)
            whole = {CONTEXT: padded([each[CONTEXT] for each in examples], 0)} if CONTEXT in examples[0] else {}
            return {**self.collate(parts), **of_examples, **whole}
        names = [name for name in examples[0] if name not in ("num_words", "lost")]
        columns = {name: [example[name] for example in examples] for name in names}
        arrays = {"spans": collate_spans(columns.pop("spans"))} if "spans" in columns else {}
        return arrays | {name: padded(values, self.padding(name)) for name, values in columns.items()}

    def padding(self, name: str) -> int:
        """What a collated input is filled up with."""
        return (self.tokenizer.pad_token_id or 0) if name == "input_ids" else _PADDING.get(name, 0)

    def length(self, example: Mapping[str, Any]) -> int:
        return num_tokens(example)

    def words(self, value: Any) -> Words:
        return listed_words(value) if isinstance(value, list | tuple) else split_words(value, self.split)

    def state(self) -> dict[str, Any]:
        return {**self._arguments, "tokenizer": described(self.tokenizer)}
