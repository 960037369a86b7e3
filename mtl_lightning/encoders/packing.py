"""Packing: the sequences of a batch one behind the other in few rows, so that nearly no position is padding.

Heads and data know nothing of it. A batch is collated as ever, one example a row, with the plan of a packed one beside
it; the encoder packs what its model reads, and unpacks what the model made of it.
"""

import heapq
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from mtl_lightning.encoders.modes import in_evaluation
from mtl_lightning.encoders.shown import PackedRow
from mtl_lightning.errors import UserError

PACKED = "packed"
"""Of a batch: the places in [B·L] of what stands in the packed rows [R, M], -1 where nothing does."""

UNPACKED = "unpacked"
"""The places in [R·M] of what stands in a batch [B, L]; any where nothing does."""

ONE_ROW = sys.maxsize
"""Capacity of a row that is the only one."""

_FULL = 0.95
_CLOSE = 1e-4  # relative to the hidden states


def plan(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Sequences by row: rows that are at least 95 % full, if there are such, and as short as that allows.

    Attention costs the square of a row's length, masked or not: short rows are better than long ones.

    Args:
        lengths: Of the sequences, each at most ``capacity``.
        capacity: Of a row; ``ONE_ROW``: there is a single one.

    >>> plan([2, 7, 3, 2], 8)
    [[1], [2, 0, 3]]
    """
    total, longest = sum(lengths), max(lengths)
    if capacity == ONE_ROW:
        return [list(range(len(lengths)))]
    fewest = -(-total // capacity)
    most = max(min(int(total / (_FULL * longest)), len(lengths)), fewest)
    for number in range(most, fewest - 1, -1):
        rows = _shared_out(lengths, number)
        width = _width(rows, lengths)
        if width <= capacity and _FULL * width * number <= total:
            return rows
    while _width(rows := _shared_out(lengths, fewest), lengths) > capacity:
        fewest += 1
    return rows


def _shared_out(lengths: Sequence[int], number: int) -> list[list[int]]:
    """Sequences in so many rows: the longest first, each goes to the row that is shortest so far."""
    rows: list[list[int]] = [[] for _ in range(number)]
    sizes = [(0, row) for row in range(number)]
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        size, row = sizes[0]
        rows[row].append(i)
        heapq.heapreplace(sizes, (size + lengths[i], row))
    return rows


def _width(rows: Sequence[Sequence[int]], lengths: Sequence[int]) -> int:
    return max(sum(lengths[i] for i in row) for row in rows)


def layout(lengths: Sequence[int], capacity: int) -> dict[str, Tensor]:
    """Where sequences stand in packed rows, and where these are in the batch: ``PACKED`` and ``UNPACKED``.

    Args:
        lengths: Of the sequences [B]; the longest is L.
        capacity: Of a row.
    """
    rows, longest = plan(lengths, capacity), max(lengths)
    width = _width(rows, lengths)
    packed = np.full((len(rows), width), -1)
    unpacked = np.zeros((len(lengths), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        start = 0
        for i in row:
            places = np.arange(lengths[i])
            packed[number, start : start + lengths[i]] = i * longest + places
            unpacked[i, : lengths[i]] = number * width + start + places
            start += lengths[i]
    return {PACKED: torch.from_numpy(packed), UNPACKED: torch.from_numpy(unpacked)}


def rows_of(packed: Tensor, longest: int) -> list[PackedRow]:
    """What stands in packed rows, if each example is one sequence.

    Args:
        packed: See ``PACKED``.
        longest: L.

    >>> [row.sequences for row in rows_of(layout([2, 7, 3, 2], 8)[PACKED], 7)]
    [[1], [2, 0, 3]]
    """
    found = []
    for row in packed.tolist():
        numbers = dict.fromkeys(place // longest for place in row if place >= 0)
        found.append(PackedRow(list(numbers), len(row), sum(place < 0 for place in row)))
    return found


def pack(inputs: Mapping[str, Tensor], packed: Tensor) -> dict[str, Tensor]:
    """What a model reads of packed rows: each input, and positions that begin anew with each sequence.

    Args:
        inputs: Each [B, L]; the mask of attention is left out, for it follows from the positions.
        packed: See ``PACKED``.
    """
    longest = inputs["input_ids"].shape[1]
    places = packed.clamp(min=0)
    found = {name: value.flatten()[places] for name, value in inputs.items() if name != "attention_mask"}
    return {**found, "position_ids": torch.where(packed < 0, 0, places % longest)}


def unpack(hidden: Tensor, unpacked: Tensor) -> Tensor:
    """Hidden states [R, M, D] as those of a batch [B, L, D]."""
    return hidden.flatten(0, 1).index_select(0, unpacked.flatten()).view(*unpacked.shape, -1)


def run(backbone: PreTrainedModel, arguments: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Tensor:
    """What a model makes of a batch [B, L, D], packed where there is a plan for it.

    Args:
        backbone: The model.
        arguments: What it reads, each [B, L].
        inputs: The whole batch.
    """
    if PACKED not in inputs:
        hidden: Tensor = backbone(**arguments).last_hidden_state
        return hidden
    return unpack(backbone(**pack(arguments, inputs[PACKED])).last_hidden_state, inputs[UNPACKED])


def row_length(backbone: PreTrainedModel, max_length: int) -> int:
    """Longest packed row that a model is given: flash attention keeps the sequences of a single row apart alone.

    Args:
        backbone: The model.
        max_length: Of a sequence.

    Raises:
        UserError: If the model does not keep packed sequences apart; where it can be run, it is tried.
    """
    if str(backbone.config._attn_implementation).startswith("flash"):
        return ONE_ROW
    if backbone.device.type != "meta":
        _check(backbone)
    return max_length


@torch.no_grad()
def _check(backbone: PreTrainedModel) -> None:
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]], device=backbone.device)
    inputs: dict[str, Tensor] = {"input_ids": torch.arange(12, device=backbone.device).view(4, 3) % 4}
    where = {name: value.to(backbone.device) for name, value in layout(mask.sum(1).tolist(), 5).items()}
    with in_evaluation(backbone):
        apart = backbone(**inputs, attention_mask=mask).last_hidden_state
        together = unpack(_made(backbone, pack(inputs, where[PACKED])), where[UNPACKED])
    wrong = ((apart - together) * mask.unsqueeze(-1)).abs().max()
    if not wrong <= _CLOSE * apart.abs().max():
        raise UserError(
            f"`packing`: {type(backbone).__name__} does not keep sequences in one row apart; leave `packing` out, or "
            "choose a decoder-only model such as Llama"
        )


def _made(backbone: PreTrainedModel, inputs: Mapping[str, Any]) -> Tensor:
    try:
        hidden: Tensor = backbone(**inputs).last_hidden_state
    except TypeError as error:
        raise UserError(f"`packing`: {type(backbone).__name__} takes no positions; leave `packing` out") from error
    return hidden
