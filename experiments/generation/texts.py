"""Sentences of RNNLG as they are compared: normalised as the data's own tools do it, and without values."""

import re
from collections.abc import Iterable, Iterator
from itertools import permutations

from experiments.generation.acts import SPECIAL, Act, Features, parsed

_NOT = {"cannot": "can't", "will not": "won't", **{f"{verb} not": f"{verb}n't" for verb in (
    "do", "does", "did", "could", "are", "is", "was", "were",
)}}  # fmt: skip
_SHORT = {"am": "i'm", "have": "i've we've", "would": "you'd i'd", "will": "you'll", "are": "you're they're there're"}
_IS = ("it's", "that's", "what's", "there's")
_PLURALS = (
    *("restaurant", "hotel", "laptop", "dinner", "breakfast", "price", "place", "venue", "range", "meal", "location"),
    *("area", "card", "kid", "use", "dimension", "include", "computer", "machine", "rating", "constraint", "hour"),
    *("requirement", "drive", "specification", "port", "television", "restriction", "driver", "factor"),
)
_ADVERBS = (
    *("expensive", "moderate", "cheap", "extreme", "actual", "typical", "definite", "most", "nice", "sure"),
    *("certain", "total"),
)
_COMPOUNDS = ("drive range", "eco rating", "price range", "battery rating", "weight range", "hard drive")
_WORDS = {
    **{short: long for long, short in _NOT.items()},
    **{short: f"{short.partition(chr(39))[0]} {verb}" for verb, all_ in _SHORT.items() for short in all_.split()},
    **{short: f"{short[:-2]} is" for short in _IS},
    **{f"{word}s": f"{word} -s" for word in _PLURALS},
    **{f"{word}ly": f"{word} -ly" for word in _ADVERBS},
    **{words.replace(" ", ""): words for words in (*_COMPOUNDS, "battery life", "kid friendly")},
    **{"lunches": "lunch -s", "policies": "policy -s", "children": "child -s", "inches": "inch -s"},
    **{"families": "family -s", "businesses": "business -s", "accessories": "accessory -s", "truly": "true -ly"},
    **{"cheaper": "cheap -er", "st": "street", "ave": "avenue", "upmarket": "expensive", "inpricey": "cheap"},
    **{"teh": "the", "#": "number", "&": "and"},
}
"""What the data's tools write for a word: most of its sentences were written so before they were published."""


def normalised(text: str) -> str:
    """The sentence in lower case and words: without its last mark, contractions apart, endings apart.

    >>> normalised("It's at 415-285.7117 , and doesn't allow kids!")
    'it is at 4152857117 , and does not allow kid -s'
    """
    text = re.sub(r" ?[.?!]$", "", text.lower().strip())
    text = re.sub(r"\(?(\d{3})\)?[-.\s]?(\d{3})[-.\s]?(\d{4})", r"\1\2\3", text)
    text = re.sub(r"[\":<>@]", "", text.replace(";", ",").replace("/", " and ")).replace(" - ", "")
    text = re.sub(r"(?<!\d)([?.,!])|([?.,!])(?!\d)", r" \1\2 ", text)
    text = re.sub(r"^'|'$|'(?=\s)|(?<=\s)'", "", text)
    text = " ".join(_WORDS.get(word, word) for word in text.split())
    text = re.sub(r"(?<=\S)'s\b", " 's", text)
    return re.sub(r"(?<!\S)(\d+) (?=\d+(?!\S))", r"\1", text)  # a number that was torn apart


def delexicalised(text: str, act: Act) -> str:
    """A normalised sentence with the name of a slot in place of its value, the longest values first.

    >>> delexicalised("a 1 has glasses or remote", parsed("inform(name=a 1;accessories=remote and glasses)"))
    'SLOT_NAME has SLOT_ACCESSORIES'
    """
    text = f" {text} "
    for slot, value in sorted(act.slots, key=lambda pair: len(pair[1]), reverse=True):
        if value and value not in SPECIAL:
            said = next((words for words in _orders(value) if f" {words} " in text), value)
            text = text.replace(f" {said} ", f" {mark(slot)} ", 1)
    return text[1:-1]


def lexicalised(text: str, act: Act) -> str:
    """A sentence with the values of an act in the places of its slots.

    >>> lexicalised("SLOT_NAME or SLOT_NAME", Act("?compare", (("name", "a 1"), ("name", "b 2"))))
    'a 1 or b 2'
    """
    for slot, value in act.slots:
        if value not in SPECIAL:
            text = f" {text} ".replace(f" {mark(slot)} ", f" {value} ", 1)[1:-1]
    return text


def by_features(rows: Iterable[tuple[str, str]]) -> dict[Features, list[str]]:
    """The delexicalised texts of acts that differ in their values alone, each text once.

    Args:
        rows: Meaning representations with people's texts.
    """
    found: dict[Features, dict[str, None]] = {}
    for mr, text in rows:
        act = parsed(mr)
        found.setdefault(act.features, {})[delexicalised(normalised(text), act)] = None
    return {features: list(texts) for features, texts in found.items()}


def mark(slot: str) -> str:
    """What stands for a slot in a sentence without values."""
    return f"SLOT_{slot.upper()}"


def _orders(value: str) -> Iterator[str]:
    """The value as it may stand in a sentence: what it lists in any order, with "and" or "or"."""
    parts = value.replace(" or ", " and ").split(" and ")
    for between in (" and ", " or "):
        yield from (between.join(order) for order in permutations(parts))
