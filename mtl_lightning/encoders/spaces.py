"""Spaces between words, which are part of the words' tokens in some tokenizers."""

from transformers import PreTrainedTokenizerBase


def loses_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether words in a list have other tokens than the same words in a text, where their tokens hold the spaces.

    Those of GPT-2 and most decoder-only models are like that: a word in the middle of a text is a token ``Ġword``, and
    a list gives ``word``, which the model knows as the rest of a longer one.
    """
    text = tokenizer("a b", add_special_tokens=False)["input_ids"]
    listed, spaced = (_tokens(tokenizer, words) for words in (["a", "b"], ["a", " b"]))
    return listed != text == spaced and len(listed) == len(text)


def _tokens(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> list[int]:
    found: list[int] = tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"]
    return found
