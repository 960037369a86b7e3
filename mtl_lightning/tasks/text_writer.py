"""What writes a text while another one is looked at."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.tasks.text_decoder import TextDecoder


class Seen(NamedTuple):
    """What a decoder looks at.

    Attributes:
        states: One vector a word, or a token, [B, L, D].
        mask: Where they are real [B, L].
        source: The tokens that they are of [B, L]; null: they are of words.
    """

    states: Tensor
    mask: Tensor
    source: Tensor | None = None


class TextWriter(Protocol):
    """Makes tokens of a text, says how probable they are, and writes some of its own.

    :class:`mtl_lightning.encoders.encoder_decoder.PretrainedDecoder` is one, too.
    """

    @property
    def num_tokens(self) -> int:
        """V, the number of tokens."""

    @property
    def num_positions(self) -> int:
        """Longest text that it can write, in tokens."""

    def build(self, features: int) -> nn.Module:
        """Gets ready for vectors of width D, and returns what of it is the task's own."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, with an end."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens, as far as the first end."""

    def shown(self, tokens: Sequence[int]) -> str:
        """Tokens, special ones too, as a person reads them."""

    def logits(self, seen: Seen, targets: Tensor) -> Tensor:
        """Logits of the targets [B, T, V], each with those before it given."""

    def write(self, seen: Seen) -> Tensor:
        """What it writes [B, M]; behind an end stands nothing of it."""


class NewDecoder:
    """Writes with a decoder that is trained from scratch; always the most probable token.

    Args:
        tokenizer: Its tokens.
        layers: See :class:`TextDecoder`.
        heads: See there.
        longest: Longest text that it writes, in tokens.
        dropout: See there.

    Raises:
        UserError: If the tokenizer has no token to start, or to end, a text with.
    """

    def __init__(self, tokenizer: Any, layers: int, heads: int, longest: int, dropout: float) -> None:
        first = (tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id)
        last = (tokenizer.eos_token_id, tokenizer.sep_token_id)
        starts, ends = ([each for each in ids if each is not None] for ids in (first, last))
        if not starts or not ends:
            raise UserError("the tokenizer has no token to start or end a text with; choose another")
        self._tokenizer, self._start, self._end = tokenizer, starts[0], ends[0]
        self._layers, self._heads, self._dropout = layers, heads, dropout
        self._decoder: TextDecoder | None = None
        self.num_positions = longest

    @property
    def num_tokens(self) -> int:
        return len(self._tokenizer)

    def build(self, features: int) -> TextDecoder:
        if features % self._heads:
            raise UserError(f"`heads` is {self._heads}, which does not divide the {features} features of the encoder")
        size = (self._layers, self._heads, self.num_positions, self._dropout)
        self._decoder = TextDecoder(self.num_tokens, features, *size)
        return self._decoder

    def encode(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return [*found, self._end]

    def decode(self, tokens: Sequence[int]) -> str:
        found = list(tokens)
        return str(self._tokenizer.decode(found[: found.index(self._end)] if self._end in found else found))

    def shown(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens)))

    def logits(self, seen: Seen, targets: Tensor) -> Tensor:
        return self._next(seen, torch.cat([self._starts(targets), targets[:, :-1].clamp(min=0)], 1))

    @torch.no_grad()
    def write(self, seen: Seen) -> Tensor:
        written = self._starts(seen[1])
        ended = torch.zeros_like(written, dtype=torch.bool)
        for _ in range(self.num_positions):
            best = self._next(seen, written)[:, -1:].argmax(-1)
            written = torch.cat([written, torch.where(ended, self._end, best)], 1)
            ended |= torch.eq(best, self._end)
            if ended.all():
                break
        return written[:, 1:]

    def _starts(self, like: Tensor) -> Tensor:
        return torch.full_like(like[:, :1], self._start, dtype=torch.int64)

    def _next(self, seen: Seen, written: Tensor) -> Tensor:
        assert self._decoder is not None, "build() comes first"
        states = seen[0].to(self._decoder.tokens.weight.dtype)
        logits: Tensor = self._decoder(written, states, seen[1])
        return logits
