"""Examples of several sequences: nested where they are encoded, flat where they are collated.

An encoded value of such an example is a list of its sequences' values, and ``num_sequences`` says how many there are.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from torch import Tensor

from mtl_lightning.padding import pad

NUM_SEQUENCES = "num_sequences"
"""Encoded value that marks examples of several sequences: their number."""

SEQUENCES = "sequences"
"""Collated: the numbers of each example's sequences [B, N], -1 where it has fewer than N."""


def nested(encoded: Mapping[str, Sequence[Any]], counts: Sequence[int]) -> dict[str, list[Any]]:
    """Encoded sequences by example.

    Args:
        encoded: Values of all R sequences, by name, each [R]; those of one example follow each other.
        counts: How many sequences each of the N examples has, R together.

    Returns:
        By name, lists of each example's [N]; of ``lost`` their sums [N].

    >>> nested({"input_ids": [[5], [6, 7], [8]], "lost": [0, 1, 2]}, [1, 2])
    {'input_ids': [[[5]], [[6, 7], [8]]], 'lost': [0, 3], 'num_sequences': [1, 2]}
    """
    parts = [slice(*ends) for ends in pairwise(accumulate(counts, initial=0))]
    found: dict[str, list[Any]] = {name: [list(values[part]) for part in parts] for name, values in encoded.items()}
    if "lost" in found:
        found["lost"] = [sum(each) for each in found["lost"]]
    return {**found, NUM_SEQUENCES: list(counts)}


def flat(examples: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], Tensor]:
    """The sequences of some examples, and ``sequences``.

    Args:
        examples: Nested, B of them; values that are no lists, such as ``lost``, are left out.

    Returns:
        The encoded values of each of the R sequences, and the numbers [B, N] of those of each example.

    >>> flat([{"input_ids": [[5]], "num_sequences": 1}, {"input_ids": [[6], [8]], "num_sequences": 2}])
    ([{'input_ids': [5]}, {'input_ids': [6]}, {'input_ids': [8]}], tensor([[ 0, -1],
            [ 1,  2]]))
    """
    names = [name for name, value in examples[0].items() if hasattr(value, "__len__")]
    sequences = [
        {name: example[name][i] for name in names} for example in examples for i in range(example[NUM_SEQUENCES])
    ]
    ends = accumulate((int(example[NUM_SEQUENCES]) for example in examples), initial=0)
    return sequences, pad([range(*each) for each in pairwise(ends)], -1)


def num_tokens(example: Mapping[str, Any]) -> int:
    """Tokens of an encoded example, those of all its sequences."""
    ids = example["input_ids"]
    return sum(map(len, ids)) if NUM_SEQUENCES in example else len(ids)
