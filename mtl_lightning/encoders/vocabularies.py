"""Whether two tokenizers, as the files of their assets, give the same numbers for the same text."""

import json
from collections.abc import Mapping
from typing import Any

TOKENIZER = "tokenizer.json"
"""The file of a fast tokenizer."""

_STEPS = ("normalizer", "pre_tokenizer")


def difference(was: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """How two tokenizers differ; null: they do not, or one of them says nothing of its vocabulary.

    Args:
        was: Files of the one, by name.
        now: Files of the other.
    """
    if TOKENIZER not in was or TOKENIZER not in now:
        shared = [name for name in was if name in now and name.startswith("vocab")]
        return next((f"{name} is another one" for name in shared if was[name] != now[name]), None)
    before, after = json.loads(was[TOKENIZER]), json.loads(now[TOKENIZER])
    one, other = _tokens(before), _tokens(after)
    if len(one) != len(other):
        return f"it knows {len(one):,} tokens, this one {len(other):,}"
    for token, index in one.items():
        if other.get(token) != index:
            there = f"{other[token]} here" if token in other else "unknown here"
            return f"the token {token!r} is number {index} there, {there}"
    return next((f"it has another {step}" for step in _STEPS if before.get(step) != after.get(step)), None)


def _tokens(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Numbers by token; a Unigram model lists its tokens with their scores instead."""
    vocabulary = tokenizer.get("model", {}).get("vocab") or {}
    if isinstance(vocabulary, list):
        vocabulary = {token: index for index, (token, _) in enumerate(vocabulary)}
    added = {token["content"]: token["id"] for token in tokenizer.get("added_tokens") or []}
    return {**vocabulary, **added}
