"""A tokenizer that needs the ``tokenizers`` library alone."""

from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Encoding, Tokenizer


class PlainTokens(UserDict[str, Any]):
    """See :class:`.Tokens`.

    Args:
        data: Values by name.
        encodings: One a row.
    """

    def __init__(self, data: dict[str, Any], encodings: Sequence[Encoding]) -> None:
        super().__init__(data)
        self.encodings = encodings

    def word_ids(self, row: int = 0) -> list[int | None]:
        """The number of each token's word."""
        return list(self.encodings[row].word_ids)

    def sequence_ids(self, row: int = 0) -> list[int | None]:
        """Which of two texts each token is of."""
        return list(self.encodings[row].sequence_ids)


class PlainTokenizer:
    """Reads texts as transformers' fast tokenizer with the same file does, as far as :class:`.FastTokenizer` says.

    Args:
        tokenizer: As the ``tokenizers`` library reads it from a file.
        description: What :func:`.described` says of it.
    """

    is_fast = True

    def __init__(self, tokenizer: Tokenizer, description: Mapping[str, Any]) -> None:
        self.backend_tokenizer = tokenizer
        self.model_input_names: Sequence[str] = description["model_input_names"]
        self.pad_token_id: int | None = description["pad_token_id"]
        self.truncation_side: str = description["truncation_side"]
        tokenizer.no_padding()

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens stand around one text, or two."""
        return int(self.backend_tokenizer.num_special_tokens_to_add(pair))

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str = False,
        max_length: int = 0,
        stride: int = 0,
        is_split_into_words: bool = False,
        return_overflowing_tokens: bool = False,
        return_offsets_mapping: bool = False,
        verbose: bool = True,
    ) -> PlainTokens:
        """Tokens of one text, or of several; arguments are those of transformers' tokenizers."""
        if truncation:
            strategy = "longest_first" if truncation is True else str(truncation)
            self.backend_tokenizer.enable_truncation(
                max_length, stride=stride, strategy=strategy, direction=self.truncation_side
            )
        else:
            self.backend_tokenizer.no_truncation()
        is_one = isinstance(text, str) or (is_split_into_words and all(isinstance(word, str) for word in text))
        texts, pairs = ([text], [text_pair]) if is_one else (text, text_pair)
        rows = texts if pairs is None or pairs == [None] else list(zip(texts, pairs, strict=True))
        first = self.backend_tokenizer.encode_batch(
            rows, is_pretokenized=is_split_into_words, add_special_tokens=add_special_tokens
        )
        encodings, owners = _with_overflow(first) if return_overflowing_tokens else (first, [*range(len(first))])
        data = self._data(encodings)
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = owners
        if return_offsets_mapping:
            data["offset_mapping"] = [encoding.offsets for encoding in encodings]
        if is_one and not return_overflowing_tokens:
            data = {name: values[0] for name, values in data.items()}
        return PlainTokens(data, encodings)

    def _data(self, encodings: Sequence[Encoding]) -> dict[str, Any]:
        found = {"input_ids": [encoding.ids for encoding in encodings]}
        if "token_type_ids" in self.model_input_names:
            found["token_type_ids"] = [encoding.type_ids for encoding in encodings]
        if "attention_mask" in self.model_input_names:
            found["attention_mask"] = [encoding.attention_mask for encoding in encodings]
        return found


def _with_overflow(encodings: Sequence[Encoding]) -> tuple[list[Encoding], list[int]]:
    """Each encoding with those that overflow it behind it, and the number of the text of each."""
    found = [(row, part) for row, first in enumerate(encodings) for part in (first, *first.overflowing)]
    return [part for _, part in found], [row for row, _ in found]
