"""Texts, pairs of texts, and several texts of an example, as tokens."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

from mtl_lightning.inputs.cut_off import cut_off
from mtl_lightning.inputs.input_kinds import Tokenised, refuse_unless
from mtl_lightning.inputs.portions import columns_of, joined, portions, size
from mtl_lightning.inputs.raw_texts import SEVERAL, sides_of
from mtl_lightning.inputs.several import nested

_CHARACTERS = 100  # more than a token has
_COUNTED = (
    100_000  # characters of a text up to which the tokens that are cut off are counted, beyond they are estimated
)
_TOGETHER = ({"text"}, {"text", "text_pair"}, {"choices"}, {"text", "choices"}, {"texts"})


class Texts(Tokenised):
    """Tokenises ``text`` with or without ``text_pair``, ``choices`` with or without ``text``, or ``texts``.

    Arguments are those of :class:`Tokenised`.
    """

    marks = frozenset({"text", "text_pair", *SEVERAL})

    def check(self, inputs: Collection[str]) -> None:
        refuse_unless(_TOGETHER, inputs)

    def encode(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        self.check(columns)
        sides, counts = sides_of(columns)
        encoded = self._encode_texts(*(sides if self.running is None else self.running.sides(sides)))
        return encoded if counts is None else nested(encoded, counts, SEVERAL.intersection(columns))

    def cut_off(self, values: Mapping[str, Any]) -> str:
        sides, _ = sides_of({name: [value] for name, value in values.items()})
        rests = (cut_off(self.tokenizer, self.max_length, texts) for texts in zip(*sides, strict=True))
        return " … ".join(filter(None, chain.from_iterable(rests)))

    def _encode_texts(self, *sides: list[str]) -> dict[str, list[Any]]:
        texts = list(zip(*sides, strict=True))
        short = [self._shortened(pair) for pair in texts]
        return joined(self._encode_some(texts[part], short[part]) for part in portions(short))

    def _encode_some(self, texts: list[tuple[str, ...]], short: list[tuple[str, ...]]) -> dict[str, list[Any]]:
        encoded = self.tokenizer(*columns_of(short), truncation=True, max_length=self.max_length)
        lost = [0] * len(texts)
        cut = [i for i, encoding in enumerate(encoded.encodings) if encoding.overflowing]
        counted = [texts[i] if size(texts[i]) <= _COUNTED else short[i] for i in cut]
        for part in portions(counted):
            whole = self.tokenizer(*columns_of(counted[part]), verbose=False)
            for i, known, tokens in zip(cut[part], counted[part], whole["input_ids"], strict=True):
                special = self.tokenizer.num_special_tokens_to_add(pair=len(known) > 1)
                number = (len(tokens) - special) * size(texts[i]) / size(known)
                lost[i] = round(number) + special - self.max_length
        return {**encoded.data, "lost": lost}

    def _shortened(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Beginnings that have the same tokens up to ``max_length``.

        Of an odd number of tokens that two texts share, the one with more tokens keeps one more: where each of them
        is too long alone, both are read to their ends to find out which it is.
        """
        short = tuple(self._beginnings.of(text, self.max_length) for text in texts)
        if len(texts) == 1:
            return short
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(pair=True)
        if short != texts and room % 2 and all(self._num_tokens(text) > room for text in short):
            first, second = map(self._num_tokens, texts)
            return self._ordered(texts, short, longer=0 if first > second else 1)
        # The tokenizer combines all parts of one that are cut off with all of the other.
        return tuple(text[: _CHARACTERS * self.max_length] for text in short)

    def _ordered(self, texts: tuple[str, ...], short: tuple[str, ...], longer: int) -> tuple[str, ...]:
        """Beginnings of two texts, of which the longer one has more tokens as well."""
        found = list(short)
        found[longer] = self._beginnings.of(texts[longer], max(self.max_length, self._num_tokens(short[1 - longer])))
        return tuple(found)

    def _num_tokens(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
