"""Lists of words, with spans of them, as tokens."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from mtl_lightning.errors import UserError
from mtl_lightning.inputs.beginnings import Beginnings
from mtl_lightning.inputs.input_kinds import Tokenised, refuse_unless
from mtl_lightning.inputs.portions import joined, portions
from mtl_lightning.inputs.raw_texts import one_text, one_word
from mtl_lightning.inputs.running_text import RunningText
from mtl_lightning.inputs.spans import encode_spans
from mtl_lightning.inputs.tokenizers import FastTokenizer
from mtl_lightning.inputs.words import word_starts
from mtl_lightning.raw_labels.spans import Ends

_TOGETHER = ({"tokens"}, {"tokens", "spans"})


class WordLists(Tokenised):
    """Tokenises ``tokens`` with or without ``spans``.

    Args:
        tokenizer: See :class:`Tokenised`, as for the next three.
        max_length: See there.
        running: See there.
        beginnings: See there.
        split: How a string becomes words.
        sub_word: Where the label of a word is read.
        spans: What the ends of ``spans`` mean.
    """

    marks = frozenset({"tokens", "spans"})

    def __init__(
        self,
        tokenizer: FastTokenizer,
        max_length: int,
        running: RunningText | None,
        beginnings: Beginnings,
        split: Literal["whitespace", "characters"],
        sub_word: Literal["first", "last"],
        spans: Ends,
    ) -> None:
        super().__init__(tokenizer, max_length, running, beginnings)
        self.split = split
        self.sub_word = sub_word
        self.spans = spans
        self.signature = [] if spans == "exclusive" else [("spans", spans)]

    def check(self, inputs: Collection[str]) -> None:
        refuse_unless(_TOGETHER, inputs)

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        self.check(columns)
        encoded = self._encode_words([self.words_of(value) for value in columns["tokens"]])
        return encoded | self._encode_spans(columns["spans"], encoded) if "spans" in columns else encoded

    def cut_off(self, values: Mapping[str, Any]) -> str:
        kept = len(self._encode_words([words := self.words_of(values["tokens"])])["word_starts"][0])
        return " ".join(words[kept:])

    def words_of(self, value: Any) -> list[str]:
        """The words of a list, or of a string, that are tokenised.

        Raises:
            UserError: If there is none, or one is empty.
        """
        if isinstance(value, list | tuple):
            words = [one_word(position, word) for position, word in enumerate(value)]
        else:
            text = one_text(value)
            words = text.split() if self.split == "whitespace" else [char for char in text if not char.isspace()]
        if not words:
            raise UserError("the list of words is empty")
        return words if self.running is None else self.running.words(words)

    def _encode_words(self, words: list[list[str]]) -> dict[str, list[Any]]:
        counts = [len(sentence) for sentence in words]
        short = [self._first_words(sentence) for sentence in words]
        return joined(self._encode_some_words(short[part], counts[part]) for part in portions(short))

    def _encode_spans(self, values: Sequence[Any], words: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        sizes = zip(words["num_words"], map(len, words["word_starts"]), strict=True)
        return {"spans": [encode_spans(value, self.spans, *size) for value, size in zip(values, sizes, strict=True)]}

    def _first_words(self, words: list[str]) -> list[str]:
        """The words whose tokens may be kept; each gives its own, whatever comes after it."""
        number = self.max_length + 1
        while number < len(words):
            first = [self._beginnings.of(word, self.max_length) for word in words[:number]]
            encoded = self.tokenizer(first, is_split_into_words=True, add_special_tokens=False, verbose=False)
            if len(encoded["input_ids"]) > self.max_length:
                return first
            number *= 2
        return [self._beginnings.of(word, self.max_length) for word in words]

    def _encode_some_words(self, words: list[list[str]], counts: list[int]) -> dict[str, list[Any]]:
        encoded = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=self.max_length)
        starts = [
            word_starts(encoded.word_ids(i), count, bool(encoded.encodings[i].overflowing), self.sub_word == "last")
            for i, count in enumerate(counts)
        ]
        lost = [count - len(kept) for count, kept in zip(counts, starts, strict=True)]
        return {**encoded.data, "word_starts": starts, "num_words": counts, "lost": lost}
