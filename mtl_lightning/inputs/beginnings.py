"""The beginning of a long text that has the same first tokens as the whole.

A tokenizer reads all of a text, at some 400 bytes of memory a character, before it cuts it to the length of a model.
Most of a long text can be left away before, where it is certain that nothing of what is kept depends on it:

- A tokenizer normalises characters, splits them into words, and makes tokens of each word by itself. The parts that are
  listed here read from left to right: what follows changes the last words that were found, never those before them.
- Unigram models find the best path through all of a word, however long (a text without spaces is one). Every path runs
  through one of the last L characters, L being the length of the longest piece. Where the best paths to each of them
  begin with the same tokens, so does that of any longer text.

For anything else (another kind of tokenizer, one that cuts on the left, byte pairs of a word without end) the whole is
read.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from mtl_lightning.inputs.tokenizers import FastTokenizer

_CHARACTERS = 8
"""Characters a token, to begin with."""

_WORDS = 8
"""Words at the end of a text that may change with what follows; three would do."""

_SOLID = 64
"""Characters at the end of a text, white space and marks aside, that may be normalised in another way."""

_LONGEST_PIECE = 64
"""Of a Unigram model; with longer ones, to compare all paths would take longer than to read the whole."""

_NORMALIZERS = {
    *("BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend"),
    *("Strip", "StripAccents"),
}
_SPLITTERS = {
    *("BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace", "Punctuation"),
    *("Whitespace", "WhitespaceSplit"),
}
_PIECES_OF_WORDS = {"Metaspace", "WhitespaceSplit"}
_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_REGEXES = {
    *(
        ".",
        r"[\s\S]",
        r"\s",
        r"\s+",
        " +",
        " {2,}",
        r"\d",
        r"\d{1,3}",
        r"\p{N}",
        r"\p{N}{1,3}",
        "[0-9]",
        r"[^\s]+",
        r"\S+",
    ),
    rf"{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+",  # GPT-2
    *(
        rf"(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
        for digits in ("", "{1,3}")  # Qwen 2, Llama 3
    ),
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+(?i:{_CONTRACTIONS})?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    rf"(?i:{_CONTRACTIONS})?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}",  # GPT-4o
}
"""Those that match from left to right, look at one character beyond a match, and change the last three at most."""


class Beginnings:
    """Cuts texts before they are tokenised.

    Args:
        tokenizer: A fast tokenizer of transformers.
    """

    def __init__(self, tokenizer: FastTokenizer) -> None:
        self._tokenizer = tokenizer

    def of(self, text: str, num_tokens: int) -> str:
        """The beginning of a text whose first ``num_tokens`` tokens are those of the text, or the whole.

        The beginning has more than ``num_tokens`` tokens, special ones aside.
        """
        size = _CHARACTERS * (num_tokens + _WORDS) + _SOLID + 2 * self._added_length(text)
        while 2 * size < len(text) and self._reads_from_left:
            if self._is_certain(text, size, num_tokens):
                return text[:size]
            size *= 2
        return text

    def _added_length(self, text: str) -> int:
        """Length of the longest token that is found in texts before they are split."""
        return max(map(len, self._added), default=0) if len(text) > _SOLID else 0

    def _is_certain(self, text: str, size: int, num_tokens: int) -> bool:
        encoding = self._encode(text[:size])
        if len(encoding.ids) <= num_tokens:
            return False
        following = text[encoding.offsets[num_tokens][1] : size]
        words = [word for word in encoding.word_ids if word is not None]
        last = encoding.word_ids[num_tokens]
        if (
            last is not None
            and words[-1] - last >= _WORDS
            and _solid(following) >= _SOLID + 2 * self._added_length(text)
        ):
            return True
        return self._is_certain_path(text, size, num_tokens)

    def _is_certain_path(self, text: str, size: int, num_tokens: int) -> bool:
        """Whether all that a Unigram model may do at the end of a beginning leads through the same first tokens."""
        longest, margin = self._longest_piece, self._added_length(text)
        around = text[max(0, size - longest - margin) : size + margin]
        if not longest or any(token in variant for token in self._added for variant in (around, self._normal(around))):
            return False
        if not all(self._stands_alone(char) for char in text[size - longest - 1 : size + 2]):
            return False
        paths = {tuple(self._first(text[: size - back], num_tokens + 1)) for back in range(longest)}
        return len(paths) == 1 and len(next(iter(paths))) == num_tokens + 1

    def _first(self, text: str, number: int) -> Iterator[tuple[int, tuple[int, int]]]:
        encoding = self._encode(text)
        return zip(encoding.ids[:number], encoding.offsets[:number], strict=True)

    def _stands_alone(self, char: str) -> bool:
        return unicodedata.category(char)[0] in "LN" and len(self._normal(f"a{char}a")) == 3

    def _normal(self, text: str) -> str:
        normalizer = self._tokenizer.backend_tokenizer.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def _encode(self, text: str) -> Any:
        return self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).encodings[0]

    @cached_property
    def _parts(self) -> dict[str, Any]:
        """The tokenizer as it is saved, without its vocabulary, which may be large."""
        found: dict[str, Any] = json.loads(self._tokenizer.backend_tokenizer.to_str())
        model = found["model"]
        vocabulary = model.pop("vocab", ())
        model.pop("merges", None)
        if model["type"] == "Unigram":
            model["longest"] = max((len(piece) for piece, _ in vocabulary), default=0)
        return found

    @cached_property
    def _added(self) -> list[str]:
        return [token["content"] for token in self._parts["added_tokens"]]

    @cached_property
    def _reads_from_left(self) -> bool:
        parts = self._parts
        return (
            self._tokenizer.truncation_side == "right"
            and not parts["model"].get("dropout")
            and all(map(_is_local_normalizer, _flat(parts["normalizer"], "normalizers")))
            and all(map(_is_local_splitter, _flat(parts["pre_tokenizer"], "pretokenizers")))
        )

    @cached_property
    def _longest_piece(self) -> int:
        """0 where the model is none that finds the best path, or words are split in further ways."""
        kinds = {part["type"] for part in _flat(self._parts["pre_tokenizer"], "pretokenizers")}
        longest = int(self._parts["model"].get("longest", 0))
        return longest if longest <= _LONGEST_PIECE and kinds <= _PIECES_OF_WORDS else 0


def _flat(part: Mapping[str, Any] | None, key: str) -> Iterator[Mapping[str, Any]]:
    if part is None:
        return
    if part["type"] != "Sequence":
        yield part
    for inner in part.get(key, ()):
        yield from _flat(inner, key)


def _is_local_normalizer(part: Mapping[str, Any]) -> bool:
    if part["type"] != "Replace":
        return part["type"] in _NORMALIZERS
    return _is_local_pattern(part["pattern"])


def _is_local_splitter(part: Mapping[str, Any]) -> bool:
    return part["type"] in _SPLITTERS or (part["type"] == "Split" and _is_local_pattern(part["pattern"]))


def _is_local_pattern(pattern: Mapping[str, str]) -> bool:
    return pattern["Regex"] in _REGEXES if "Regex" in pattern else len(pattern["String"]) <= _WORDS


def _solid(text: str) -> int:
    """Number of characters that are neither white space nor marks nor controls."""
    return sum(unicodedata.category(char)[0] in "LNPS" for char in text)
