"""Examples of several sequences: nested where they are encoded, flat where they are collated.

An encoded value of such an example is a list of its sequences' values, and ``num_sequences`` says how many there are.
So does a value of the name of the input that they come from, which tells heads what the sequences are.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from mtl_lightning.inputs.padding import padded

NUM_SEQUENCES = "num_sequences"
"""Encoded value that marks examples of several sequences: their number."""

WHOLE = "context"
"""Encoded value that all sequences of an example have in common."""

SEQUENCES = "sequences"
"""Collated: the numbers of each example's sequences [B, N], -1 where it has fewer than N."""


def nested(encoded: Mapping[str, Sequence[Any]], counts: Sequence[int], of: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Encoded sequences by example.

    Args:
        encoded: Values of all R sequences, by name, each [R]; those of one example follow each other.
        counts: How many sequences each of the N examples has, R together.
        of: Names of the inputs that they come from.

    Returns:
        By name, lists of each example's [N]; of ``lost`` their sums [N].

    >>> nested({"input_ids": [[5], [6, 7], [8]], "lost": [0, 1, 2]}, [1, 2], ["choices"])
    {'input_ids': [[[5]], [[6, 7], [8]]], 'lost': [0, 3], 'num_sequences': [1, 2], 'choices': [1, 2]}
    """
    parts = [slice(*ends) for ends in pairwise(accumulate(counts, initial=0))]
    found: dict[str, list[Any]] = {name: [list(values[part]) for part in parts] for name, values in encoded.items()}
    if "lost" in found:
        found["lost"] = [sum(each) for each in found["lost"]]
    return {**found, **{name: list(counts) for name in (NUM_SEQUENCES, *of)}}


def flat(examples: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The sequences of some examples, and what belongs to the examples.

    Args:
        examples: Nested, B of them; ``lost`` is left out.

    Returns:
        The encoded values of each of the R sequences; and ``sequences`` [B, N], the numbers of those of each example,
        with what else is one number an example [B].

    >>> flat([{"ids": [[5]], "num_sequences": 1, "texts": 1}, {"ids": [[6], [8]], "num_sequences": 2, "texts": 2}])
    ([{'ids': [5]}, {'ids': [6]}, {'ids': [8]}], {'texts': array([1, 2]), 'sequences': array([[ 0, -1],
           [ 1,  2]])})
    """
    numbers = [name for name, value in examples[0].items() if not hasattr(value, "__len__")]
    names = [name for name in examples[0] if name not in (*numbers, WHOLE)]
    counts = [int(example[NUM_SEQUENCES]) for example in examples]
    sequences = [
        {name: example[name][i] for name in names}
        for example, count in zip(examples, counts, strict=True)
        for i in range(count)
    ]
    found = {name: np.array([int(example[name]) for example in examples]) for name in numbers}
    ends = pairwise(accumulate(counts, initial=0))
    kept = {name: value for name, value in found.items() if name not in (NUM_SEQUENCES, "lost")}
    return sequences, {**kept, SEQUENCES: padded([range(*each) for each in ends], -1)}


def num_tokens(example: Mapping[str, Any]) -> int:
    """Tokens of an encoded example, those of all its sequences."""
    ids = example["input_ids"]
    return sum(map(len, ids)) if NUM_SEQUENCES in example else len(ids)
