"""The words of an input, and where they stand in it."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple


class Words(NamedTuple):
    """The words that one input consists of: its label positions.

    Attributes:
        words: L of them.
        offsets: Where each begins and where it ends, exclusive [L, 2]: characters of ``text``, or places in the list.
        text: The input, null where it is a list of words.
    """

    words: Sequence[str]
    offsets: Sequence[tuple[int, int]]
    text: str | None = None

    def excerpt(self, first: int, last: int) -> dict[str, Any]:
        """Words ``first`` up to ``last``, exclusive, under the names that a ``transformers`` pipeline gives them.

        >>> split_words("  by Miles  Davis", "whitespace").excerpt(1, 3)
        {'word': 'Miles  Davis', 'start': 5, 'end': 17}
        >>> listed_words(["by", "Miles", "Davis"]).excerpt(1, 3)
        {'word': 'Miles Davis', 'start': 1, 'end': 3}
        """
        start, end = self.offsets[first][0], self.offsets[last - 1][1]
        word = " ".join(self.words[first:last]) if self.text is None else self.text[start:end]
        return {"word": word, "start": start, "end": end}


def listed_words(words: Sequence[str]) -> Words:
    """The words of a list."""
    return Words(words, [(position, position + 1) for position in range(len(words))])


def split_words(text: str, split: str) -> Words:
    """The words of a text, as :class:`.text.TextProcessor` splits it.

    Args:
        text: Any.
        split: ``whitespace`` or ``characters``.
    """
    found = list(re.finditer(r"\S+" if split == "whitespace" else r"\S", text))
    return Words([match[0] for match in found], [match.span() for match in found], text)


def word_starts(word_ids: Sequence[int | None], num_words: int, truncated: bool, last: bool) -> list[int]:
    """Position of the first sub-word of each word that was kept, or of the last.

    A word that the tokenizer makes nothing of (a lone zero-width space, say) reads at the next word's position, so that
    the number of positions equals the number of words kept.

    Args:
        word_ids: Number of each token's word, null: it is of none.
        num_words: Of the example.
        truncated: Whether words were cut off.
        last: Whether it is the last sub-word.
    """
    found: dict[int, int] = {}
    for position, word in enumerate(word_ids):
        if word is not None and (last or word not in found):
            found[word] = position
    kept = max(found, default=-1) + 1 if truncated else num_words
    starts, following = [0] * kept, len(word_ids) - 1
    for word in reversed(range(kept)):
        following = starts[word] = found.get(word, following)
    return starts
