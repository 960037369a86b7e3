"""Answers that stand in a context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl_lightning.decoding.base import Array, Arrays, Decoder, array_of
from mtl_lightning.decoding.probabilities import log_softmax


@dataclass(frozen=True)
class AnswerDecoder(Decoder):
    """``answer``, its ``probability``, ``start`` and ``end`` in the context, and the probability of ``no_answer``.

    From scores of tokens in N windows, ``starts`` and ``ends`` [B, N, L], and of ``none`` [B]; the characters that the
    tokens stand for, ``char_starts`` and ``char_ends`` [B, N, L]; and those of the ``context`` [B, C].

    Attributes:
        max_answer: Longest answer, in tokens.
    """

    max_answer: int

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        none, shape = array_of(arrays, "none"), array_of(arrays, "starts").shape
        starts, ends = (_logs(array_of(arrays, name), none) for name in ("starts", "ends"))
        firsts, lasts = self._best(starts[:, :-1].reshape(shape), ends[:, :-1].reshape(shape))
        characters = [array_of(arrays, name).reshape(len(none), -1) for name in ("char_starts", "char_ends")]
        begin, end = (np.take_along_axis(*each, 1) for each in zip(characters, (firsts, lasts), strict=True))
        found = _at(starts, characters[0], begin) * _at(ends, characters[1], end)
        columns = (begin[:, 0], end[:, 0], found, np.exp(starts[:, -1] + ends[:, -1]))
        together = zip(array_of(arrays, "context").tolist(), *(each.tolist() for each in columns), strict=True)
        return [_decoded(*each) for each in together]

    def _best(self, starts: Array, ends: Array) -> tuple[Array, Array]:
        """First and last token of the best answer, as places in all windows, each [B, 1]; logs are [B, N, L].

        One length after the other, so that nothing grows with the number of spans.
        """
        best, lengths = starts + ends, np.zeros(starts.shape, dtype=np.int64)
        for more in range(1, min(self.max_answer, starts.shape[-1])):
            found = starts[..., :-more] + ends[..., more:]
            better = found > best[..., :-more]
            np.copyto(best[..., :-more], found, where=better)
            np.copyto(lengths[..., :-more], more, where=better)
        firsts = best.reshape(len(best), -1).argmax(1)[:, None]
        return firsts, firsts + np.take_along_axis(lengths.reshape(len(best), -1), firsts, 1)


def _logs(side: Array, none: Array) -> Array:
    """Log probabilities of all places, those of all windows and none at last [B, N · L + 1]; two have a finite sum."""
    return np.maximum(log_softmax(np.concatenate([side.reshape(len(side), -1), none[:, None]], 1)), -1e30)


def _at(logs: Array, characters: Array, chosen: Array) -> Array:
    """Probability of a character [B], in whatever window it stands.

    Args:
        logs: Log probabilities of tokens [B, N · L + 1].
        characters: Those of the tokens [B, N · L].
        chosen: The character [B, 1].
    """
    return np.asarray((np.exp(logs[:, :-1]) * (characters == chosen)).sum(1))


def _decoded(codes: Sequence[int], start: int, end: int, probability: float, none: float) -> dict[str, Any]:
    if none > probability:
        return {"answer": "", "probability": none, "start": None, "end": None, "no_answer": none}
    text = "".join(map(chr, codes[start:end]))
    return {"answer": text, "probability": probability, "start": start, "end": end, "no_answer": none}
