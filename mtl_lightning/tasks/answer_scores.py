"""How well answers agree with the right ones, as SQuAD's script counts it."""

import re
import string
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact_match(answer: str, right: str) -> float:
    """Whether two answers are the same but for case, punctuation, articles and white space.

    >>> exact_match("The  cat.", "cat")
    1.0
    """
    return float(_plain(answer) == _plain(right))


def token_f1(answer: str, right: str) -> float:
    """F1 of the words of two answers, case, punctuation and articles aside; 1 if both have none, 0 if one has.

    >>> token_f1("the old cat", "a cat")
    0.6666666666666666
    """
    found, wanted = _plain(answer).split(), _plain(right).split()
    if not (found and wanted):
        return float(found == wanted)
    same = (Counter(found) & Counter(wanted)).total()
    return 2 * same / (len(found) + len(wanted))


def _plain(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())
