"""Words of a list and pairs of texts as running text, which is all that a decoder-only model has seen."""

from collections.abc import Sequence
from typing import Literal

from mtl_lightning.inputs.tokenizers import FastTokenizer


class RunningText:
    """Puts between words and texts what stands between them in a running text, where the tokenizer puts nothing.

    Args:
        tokenizer: A fast tokenizer.
        split: What separates words: spaces, or nothing.

    Attributes:
        spaces: Whether words have a space before them: in tokenizers such as GPT-2's, a word in the middle of a text is
            a token ``Ġword``, and a list would give ``word``, which the model knows as the rest of a longer one.
        breaks: Whether the second of two texts begins a line: no special token would tell it from the first.
    """

    def __init__(self, tokenizer: FastTokenizer, split: Literal["whitespace", "characters"]) -> None:
        self.spaces = split == "whitespace" and _loses_spaces(tokenizer)
        alone, pair = (tokenizer.num_special_tokens_to_add(pair=pair) for pair in (False, True))
        self.breaks = pair == alone

    def words(self, words: list[str]) -> list[str]:
        """The words, each with what stands before it."""
        return [words[0], *(f" {word}" for word in words[1:])] if self.spaces else words

    def sides(self, sides: Sequence[list[str]]) -> list[list[str]]:
        """The first texts, and the second ones if there are any, with what stands before these."""
        first, *seconds = sides
        return [first, *([f"\n{text}" for text in second] for second in seconds)] if self.breaks else list(sides)

    @property
    def signature(self) -> list[str]:
        """What it does to words and texts, in words."""
        return ["spaces"] * self.spaces + ["breaks"] * self.breaks


def _loses_spaces(tokenizer: FastTokenizer) -> bool:
    """Whether words in a list have other tokens than the same words in a text, where their tokens hold the spaces."""
    text = tokenizer("a b", add_special_tokens=False)["input_ids"]
    listed, spaced = (_tokens(tokenizer, words) for words in (["a", "b"], ["a", " b"]))
    return listed != text == spaced and len(listed) == len(text)


def _tokens(tokenizer: FastTokenizer, words: list[str]) -> list[int]:
    found: list[int] = tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"]
    return found
