"""Whether the heads of a sentence's words make a tree."""

from collections.abc import Sequence

from mtl_lightning.decoding.trees import ROOT, cycle_of
from mtl_lightning.errors import UserError


def check_tree(heads: Sequence[int | None]) -> None:
    """Raises :class:`UserError` if heads make no tree with one root.

    Args:
        heads: Number of the head of each of n words, 0 for the root; None: it is not known.

    >>> check_tree([2, 0, None])
    """
    roots = [word for word, head in enumerate(heads, 1) if head == ROOT]
    for word, head in enumerate(heads, 1):
        if head is not None and head > len(heads):
            count = f"the sentence has {len(heads)} words"
            raise UserError(
                f"word {word}: its head is {head}, but {count}; words count from 1, the root is 0", word - 1
            )
    if len(roots) > 1:
        found = " and ".join(map(str, roots[:3])) + (" and more" if len(roots) > 3 else "")
        raise UserError(f"words {found} are roots (head 0); a tree has one, give the others a head", roots[1] - 1)
    if cycle := cycle_of(heads):
        steps = " → ".join(map(str, [*cycle, cycle[0]]))
        raise UserError(f"word {cycle[0]}: its heads go round in a circle, {steps}, and not to the root", cycle[0] - 1)
