"""Token ids as the pieces of text that they stand for."""

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from mtl_lightning.encoders.shown import Mark, Piece, Tokens

_BLANK = "▁"
_CONTINUES = "##"


def shown_row(
    tokenizer: PreTrainedTokenizerBase, inputs: Mapping[str, Tensor], row: int, sub_word: Literal["first", "last"]
) -> Tokens:
    """A row of what :class:`.TextProcessor` has collated.

    A token that is learnt is shown as the label position at which it is predicted: that of the token before.

    Args:
        tokenizer: Made the tokens.
        inputs: Collated, each [R, S].
        row: Which one.
        sub_word: The token at which a word of a list is read.
    """
    ids, present = inputs["input_ids"][row].tolist(), inputs["attention_mask"][row].tolist()
    starts = inputs["word_starts"][row].tolist() if "word_starts" in inputs else ()
    if "answer" in inputs:
        starts = [min(start + 1, len(ids) - 1) if start >= 0 else -1 for start in starts]
    read_at = sub_word if starts and "answer" not in inputs else None
    name = "text" if read_at is None else "tokens"
    return Tokens(name, pieces_of(tokenizer, ids, present, starts, part_of_each(inputs, row), read_at))


def pieces_of(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    present: Sequence[int] | None = None,
    starts: Sequence[int] | None = None,
    parts: Sequence[int] | None = None,
    read_at: Literal["first", "last"] | None = None,
) -> list[Piece]:
    """The tokens of one row.

    Args:
        tokenizer: Made the ids.
        ids: Of the tokens [S].
        present: 0 where a token is padding [S]; null: none is.
        starts: Of each label position, the token at which it is read [L], negative where there is none; null: each
            token is a label position of its own.
        parts: Number of the text that each token belongs to [S]; null: there is one.
        read_at: Which token of a word label positions are, where they are words; null: they are tokens.
    """
    positions = {i: (i,) for i in range(len(ids))} if starts is None else _positions(starts)
    begins = {place + (read_at == "last") for place in positions}
    special = set(tokenizer.all_special_ids)
    found: list[Piece] = []
    for place, index in enumerate(ids):
        text, after = token_text(tokenizer, index), found[-1].mark if found else Mark.SPECIAL
        continues = text.startswith(_CONTINUES) if read_at is None else place not in begins and after != Mark.SPECIAL
        mark = Mark.SPECIAL if index in special else Mark.CONTINUED if continues else Mark.TEXT
        if present is not None and not present[place]:
            mark = Mark.PADDING
        found.append(Piece(text, mark, positions.get(place, ()), 0 if parts is None else parts[place]))
    return found


def token_text(tokenizer: PreTrainedTokenizerBase, index: int) -> str:
    """A token as a person reads it: bytes as characters, where they are whole ones.

    >>> from mtl_lightning.encoders.characters import character_tokenizer
    >>> token_text(character_tokenizer(), 5), token_text(character_tokenizer(), 2)
    ('!', '[CLS]')
    """
    token = str(tokenizer.convert_ids_to_tokens(index))
    if token.startswith((_BLANK, _CONTINUES)):
        return token
    text = str(tokenizer.convert_tokens_to_string([token]))
    if not text or "\N{REPLACEMENT CHARACTER}" in text:  # a part of a character
        return token
    return f"{_BLANK * (len(text) - len(text.lstrip(' ')))}{text.lstrip(' ')}"


def part_of_each(inputs: Mapping[str, Tensor], example: int) -> list[int] | None:
    """The text that each token of a row belongs to, as far as the inputs say it: by type, or by positions that restart.

    Args:
        inputs: Collated, each [B, S].
        example: Its row.
    """
    if "position_ids" in inputs:
        number, parts = -1, []
        for position in inputs["position_ids"][example].tolist():
            number += position == 0
            parts.append(max(number, 0))
        return parts
    types = inputs.get("token_type_ids")
    return None if types is None else types[example].tolist()


def _positions(starts: Sequence[int]) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for position, start in enumerate(starts):
        if start >= 0:
            found[start] = (*found.get(start, ()), position)
    return found
