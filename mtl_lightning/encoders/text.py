"""Tokenisation: raw text or words in, padded token ids out."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from mtl_lightning.encoders.base import InputProcessor
from mtl_lightning.encoders.words import Words, listed_words, split_words
from mtl_lightning.errors import UserError, shown
from mtl_lightning.padding import pad

_CHARACTERS = 100  # more than a token has
_SURROGATE = re.compile("[\ud800-\udfff]")


class TextProcessor(InputProcessor):
    """Tokenises ``text`` (with ``text_pair``), or ``tokens`` where heads label words.

    ``tokens`` is a list of words; a string is split into words first. The first sub-word of each word is where its
    label is read; words that do not fit into ``max_length`` are cut off. A text, or a word, that is empty or white
    space is refused.

    Args:
        tokenizer: A fast tokenizer of transformers.
        max_length: Longest sequence in tokens, special ones included.
        split: How a string given for ``tokens`` becomes words.
    """

    inputs = ("text", "text_pair", "tokens")

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        split: Literal["whitespace", "characters"] = "whitespace",
    ) -> None:
        if not tokenizer.is_fast:
            raise UserError(f"{type(tokenizer).__name__} is a slow tokenizer; words are aligned by fast ones only")
        # Its threads do not survive a fork, and it says so on every worker; large tables are shared among processes.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.split = split

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        if ("tokens" in columns) == ("text" in columns) or ("tokens" in columns and "text_pair" in columns):
            raise UserError(f"give `tokens`, or `text` with or without `text_pair`; found {', '.join(columns)}")
        if "tokens" in columns:
            return self._encode_words([self._words(value) for value in columns["tokens"]])
        return self._encode_texts(*(_texts(name, columns[name]) for name in ("text", "text_pair") if name in columns))

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        padding = {"input_ids": self.tokenizer.pad_token_id or 0, "word_starts": -1}
        names = [name for name in examples[0] if name not in ("num_words", "lost")]
        return {name: pad([example[name] for example in examples], padding.get(name, 0)) for name in names}

    def length(self, example: Mapping[str, Any]) -> int:
        return len(example["input_ids"])

    def words(self, value: Any) -> Words:
        return listed_words(value) if isinstance(value, list | tuple) else split_words(value, self.split)

    def signature(self) -> Any:
        tokenizer = json.loads(self.tokenizer.backend_tokenizer.to_str())
        tokenizer.update(truncation=None, padding=None)  # `encode` sets them, from `max_length`
        return [sha256(json.dumps(tokenizer).encode()).hexdigest(), self.max_length, self.split]

    def _words(self, value: Any) -> list[str]:
        if isinstance(value, list | tuple):
            words = [_word(position, word) for position, word in enumerate(value)]
        else:
            text = _text(value)
            words = text.split() if self.split == "whitespace" else [char for char in text if not char.isspace()]
        if not words:
            raise UserError("the list of words is empty")
        return words

    def _encode_texts(self, *sides: list[str]) -> dict[str, list[Any]]:
        short = sides
        if len(sides) > 1:  # of which the tokenizer combines all parts of one that are cut off with all of the other
            short = tuple([text[: _CHARACTERS * self.max_length] for text in side] for side in sides)
        encoded = self.tokenizer(*short, truncation=True, max_length=self.max_length)
        lost = [0] * len(sides[0])
        if cut := [i for i, encoding in enumerate(encoded.encodings) if encoding.overflowing]:
            whole = self.tokenizer(*([side[i] for i in cut] for side in sides), verbose=False)
            for i, tokens in zip(cut, whole["input_ids"], strict=True):
                lost[i] = len(tokens) - self.max_length
        return {**encoded.data, "lost": lost}

    def _encode_words(self, words: list[list[str]]) -> dict[str, list[Any]]:
        encoded = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=self.max_length)
        starts = [
            _word_starts(encoded.word_ids(i), len(sentence), truncated=bool(encoded.encodings[i].overflowing))
            for i, sentence in enumerate(words)
        ]
        counts = [len(sentence) for sentence in words]
        lost = [count - len(kept) for count, kept in zip(counts, starts, strict=True)]
        return {**encoded.data, "word_starts": starts, "num_words": counts, "lost": lost}


def _texts(name: str, values: Sequence[Any]) -> list[str]:
    try:
        return [_text(value) for value in values]
    except UserError as error:
        raise UserError(f"input '{name}': {error}", part=error.part) from error


def _text(value: Any) -> str:
    """The value, if it is a text that says something; several texts are joined, without those that are empty."""
    if isinstance(value, tuple):
        for part, text in enumerate(value):
            if text is not None and not isinstance(text, str):
                raise UserError(f"expected a text, found {shown(text)}", part=part)
        value = " ".join(text for text in value if text and not text.isspace())
    if not isinstance(value, str):
        raise UserError(f"expected a text, found {shown(value)}")
    if not value or value.isspace():
        raise UserError(f"the text is empty: {value!r}")
    if not value.isascii() and _SURROGATE.search(value):
        raise UserError(f"half of a surrogate pair is no character: {shown(value)}")
    return value


def _word(position: int, value: Any) -> str:
    try:
        return _text(value)
    except UserError as error:
        raise UserError(f"word {position + 1}: {error}", position) from error


def _word_starts(word_ids: Sequence[int | None], num_words: int, truncated: bool) -> list[int]:
    """Position of the first sub-word of each word that was kept.

    A word that the tokenizer makes nothing of (a lone zero-width space, say) reads at the next word's position, so that
    the number of positions equals the number of words kept.
    """
    first: dict[int, int] = {}
    for position, word in enumerate(word_ids):
        if word is not None:
            first.setdefault(word, position)
    kept = max(first, default=-1) + 1 if truncated else num_words
    starts, following = [0] * kept, len(word_ids) - 1
    for word in reversed(range(kept)):
        following = starts[word] = first.get(word, following)
    return starts
