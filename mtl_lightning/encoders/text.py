"""Tokenisation: raw text or words in, padded token ids out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from mtl_lightning.encoders.base import InputProcessor
from mtl_lightning.errors import UserError


class TextProcessor(InputProcessor):
    """Tokenises ``text`` (with ``text_pair``), or ``tokens`` where heads label words.

    ``tokens`` is a list of words; a string is split into words first. The first sub-word of each word is where its
    label is read; words that do not fit into ``max_length`` are cut off.

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
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.split = split

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        if "tokens" in columns:
            return self._encode_words([self._words(value) for value in columns["tokens"]])
        texts = [_text(value) for value in columns["text"]]
        pairs = [_text(value) for value in columns["text_pair"]] if "text_pair" in columns else None
        return dict(self.tokenizer(texts, pairs, truncation=True, max_length=self.max_length).data)

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        padding = {"input_ids": self.tokenizer.pad_token_id or 0, "word_starts": -1}
        names = [name for name in examples[0] if name != "num_words"]
        return {
            name: pad_sequence(
                [torch.tensor(example[name], dtype=torch.int64) for example in examples],
                batch_first=True,
                padding_value=padding.get(name, 0),
            )
            for name in names
        }

    def length(self, example: Mapping[str, Any]) -> int:
        return len(example["input_ids"])

    def signature(self) -> Any:
        tokenizer = json.loads(self.tokenizer.backend_tokenizer.to_str())
        tokenizer.update(truncation=None, padding=None)  # `encode` sets them, from `max_length`
        return [tokenizer, self.max_length, self.split]

    def _words(self, value: Any) -> list[str]:
        if not isinstance(value, str):
            return [_text(word) for word in value]
        return value.split() if self.split == "whitespace" else [char for char in value if not char.isspace()]

    def _encode_words(self, words: list[list[str]]) -> dict[str, list[Any]]:
        encoded = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=self.max_length)
        starts = [
            _word_starts(encoded.word_ids(i), len(sentence), truncated=bool(encoded.encodings[i].overflowing))
            for i, sentence in enumerate(words)
        ]
        return {**encoded.data, "word_starts": starts, "num_words": [len(sentence) for sentence in words]}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"expected a text, found {value!r}")
    return value


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
