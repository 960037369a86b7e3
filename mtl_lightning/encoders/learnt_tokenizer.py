"""A tokenizer that learns its tokens from the training data: it needs no vocabulary file and no network."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mtl_lightning.encoders.characters import SPECIAL, as_fast
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedRows

LEARNT = "learnt:"
"""How such a tokenizer is named; the number of its tokens follows."""

_LEAST = 50
_PIECES = r"[\p{L}\p{M}]+|[^\p{L}\p{M}]"
"""Letters, or one other character, such as a digit or a blank: a token is all of these, or a part."""


def number_of_tokens(name: str | None) -> int | None:
    """How many tokens ``learnt:600`` asks for, special ones included; null: this is another tokenizer.

    Raises:
        UserError: If that is no number, or too small a one.

    >>> number_of_tokens("learnt:600")
    600
    """
    if name is None or not name.startswith(LEARNT):
        return None
    number = name.removeprefix(LEARNT)
    if not number.isdecimal() or int(number) < _LEAST:
        raise UserError(f"`tokenizer: {name}` must say how many tokens are learnt, {_LEAST} or more, say `learnt:1000`")
    return int(number)


def unlearnt_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that knows special tokens alone.

    Its tokens are to be words, pieces of words, or single other characters, such as digits and blanks, so that a word
    or a number is the same tokens wherever it stands, and what is decoded is the text.
    """
    numbers = {token: number for number, token in enumerate(SPECIAL)}
    tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    return as_fast(tokenizer)


def learn_tokens(tokenizer: PreTrainedTokenizerBase, number: int, rows: Iterable[CountedRows]) -> None:
    """Learns tokens by byte-pair encoding (Sennrich et al., "Neural Machine Translation of Rare Words with Subword
    Units", 2016), over characters; the same ones of the same rows.

    Args:
        tokenizer: That ``unlearnt_tokenizer`` returned.
        number: Of its tokens, at most. The most frequent characters are tokens themselves, up to half of it; others
            become ``[UNK]``.
        rows: Raw inputs of the training data.
    """
    trainer = trainers.BpeTrainer(
        vocab_size=number, special_tokens=list(SPECIAL), limit_alphabet=number // 2, show_progress=False
    )
    backend = tokenizer.backend_tokenizer
    backend.train_from_iterator(_texts(rows), trainer)
    backend.model = Tokenizer.from_str(backend.to_str()).model  # the old one remembers what it has read before


def take_tokens(tokenizer: PreTrainedTokenizerBase, number: int, text: str) -> bool:
    """Takes the tokens that another one has learnt.

    Args:
        tokenizer: That ``unlearnt_tokenizer`` returned.
        number: Of its tokens, at most.
        text: The other's ``tokenizer.json``.

    Returns:
        Whether it is such a tokenizer, and has so few.
    """
    backend, other = tokenizer.backend_tokenizer, Tokenizer.from_str(text)
    pieces, others = (json.loads(each.to_str())["pre_tokenizer"] for each in (backend, other))
    if pieces != others or other.get_vocab_size() > number:
        return False
    backend.model = other.model
    return True


def _texts(rows: Iterable[CountedRows]) -> Iterator[str]:
    for columns in (columns for row in rows for columns in row.values()):
        for column in columns:
            for value, count in zip(column.values, column.counts, strict=True):
                for text in _texts_in(value):
                    yield from [text] * count


def _texts_in(value: Any) -> Iterator[str]:
    """A text, or those in a list of words or of messages."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts_in(each)
