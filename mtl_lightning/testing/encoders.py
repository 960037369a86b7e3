"""The contract of encoders."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtl_lightning.encoders import Encoder, InputProcessor, Representation
from mtl_lightning.encoders.shown import Numbers, Picture, Shown, Tokens
from mtl_lightning.testing.common import pickled, seeded


def check_encoder(encoder: Encoder, columns: Mapping[str, Sequence[Any]]) -> None:
    """Checks an encoder and its processor, from raw columns to the representation.

    Args:
        encoder: The encoder.
        columns: Raw values of N examples, at least two, by input name; texts should differ in length.

    Raises:
        AssertionError: If a rule is broken.

    >>> from mtl_lightning.encoders import PerceptronEncoder
    >>> check_encoder(PerceptronEncoder(in_features=2, hidden=[64]), {"features": [[0.0, 1.0], [2.0, 3.0]]})
    """
    with seeded():
        encoder = copy.deepcopy(encoder).eval()
        examples = _check_processor(encoder.processor, columns)
        inputs = encoder.processor.collate(examples)
        together = encoder(inputs)
        owners = _owners(inputs, len(examples))
        _check_representation(together, sum(map(len, owners)), encoder.features)
        _check_maps(together, inputs, encoder.map_widths)
        _check_word_positions(together, examples)
        _check_padding(encoder, examples, together, owners)
        _check_encoder_gradients(encoder, together)
        assets = encoder.assets()
        unknown = sorted(set(assets.init_args) - set(inspect.signature(type(encoder)).parameters))
        assert not unknown, f"assets() names {unknown}, which are no arguments of {type(encoder).__name__}"


def _check_processor(processor: InputProcessor, columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The encoded examples."""
    unknown = sorted(set(columns) - set(processor.inputs))
    assert not unknown, f"`columns` names {unknown}, which are not among the inputs {processor.inputs}"
    (count,) = {len(values) for values in columns.values()}
    assert count > 1, "`columns` must hold at least two examples"
    signature = processor.signature()
    encoded = processor.encode(columns)
    assert processor.signature() == signature, "signature() must not change when encode() has run"
    for name, values in encoded.items():
        assert len(values) == count, f"encode() must give {count} values of '{name}', found {len(values)}"
    examples = _rows(encoded)
    other = pickled(processor)
    assert other.signature() == signature, "pickle changes the processor's signature()"
    for position, example in enumerate(examples):
        (alone,) = _rows(other.encode({name: values[position : position + 1] for name, values in columns.items()}))
        assert _same(processor.collate([alone]), processor.collate([example])), (
            f"example {position} must be encoded alike alone (by a pickled processor) and with others"
        )
        assert processor.length(example) > 0, f"length() must be positive, found {processor.length(example)}"
    collated = processor.collate(examples)
    assert _same(processor.collate_columns(encoded), collated), "collate_columns() must give what collate() does"
    _check_collated(collated, count, processor)
    for position in range(count):
        _check_shown(processor.shown(collated, position), examples[position])
    return examples


def _check_collated(inputs: Mapping[str, Tensor], count: int, processor: InputProcessor) -> None:
    rows = sum(map(len, _owners(inputs, count)))
    for name, tensor in ((name, inputs[name]) for name in inputs if name not in processor.of_batch):
        expected = {rows, count} if name in processor.for_heads else {rows}
        assert len(tensor) in expected, f"collate() must give '{name}' as [{rows}, ...], found {list(tensor.shape)}"


def _owners(inputs: Mapping[str, Tensor], count: int) -> list[list[int]]:
    """The numbers of each example's sequences in what was collated."""
    if "sequences" not in inputs:
        return [[i] for i in range(count)]
    found = [[number for number in row if number >= 0] for row in inputs["sequences"].tolist()]
    numbers = sorted(number for row in found for number in row)
    assert all(found), f"each example must have a sequence, found `sequences` {found}"
    assert numbers == [*range(len(numbers))], f"`sequences` must name each sequence once, from 0 on, found {found}"
    return found


def _check_shown(inputs: Sequence[Shown], example: Mapping[str, Any]) -> None:
    assert inputs, "shown() must say what the model reads of an example"
    for shown in inputs:
        assert isinstance(shown, Tokens | Numbers | Picture), f"shown() must give one of these, found {shown!r}"
        if isinstance(shown, Tokens) and "word_starts" in example and "num_sequences" not in example:
            places = sorted(place for piece in shown.pieces for place in piece.positions)
            wanted = list(range(len(example["word_starts"])))
            assert places == wanted, f"shown() must say where {len(wanted)} words are read, found {places}"


def _check_representation(representation: Representation, count: int, features: int) -> None:
    pooled, tokens, mask = representation[:3]
    assert pooled is not None or tokens is not None, "the representation must have pooled features or tokens"
    if pooled is not None:
        assert pooled.shape == (count, features), f"pooled must be [{count}, {features}], found {list(pooled.shape)}"
        assert pooled.isfinite().all(), "pooled must be finite"
    assert (tokens is None) == (mask is None), "tokens and their mask must come together"
    if tokens is not None and mask is not None:
        assert mask.dtype == torch.bool, f"the mask must be bool, found {mask.dtype}"
        assert tokens.shape == (*mask.shape, features) and len(mask) == count, (
            f"tokens must be [{count}, L, {features}] with a mask [{count}, L], "
            f"found {list(tokens.shape)} and {list(mask.shape)}"
        )
        assert tokens[mask].isfinite().all(), "tokens must be finite"
        assert (mask[:, :-1] | ~mask[:, 1:]).all(), "real positions must come before padding"


def _check_maps(representation: Representation, inputs: Mapping[str, Tensor], widths: Mapping[int, int]) -> None:
    maps = representation.maps or {}
    assert {stride: of.shape[1] for stride, of in maps.items()} == dict(widths), (
        f"maps must have the widths {dict(widths)}, found { {stride: list(of.shape) for stride, of in maps.items()} }"
    )
    for stride, found in maps.items():
        height, width = next(tensor.shape[-2:] for tensor in inputs.values() if tensor.dim() == 4)
        wanted = (-(-height // stride), -(-width // stride))
        assert found.shape[-2:] == wanted, f"the map of stride {stride} must be {wanted}, found {list(found.shape)}"
        assert found.isfinite().all(), f"the map of stride {stride} must be finite"


def _check_word_positions(representation: Representation, examples: Sequence[Mapping[str, Any]]) -> None:
    if representation.mask is not None and "word_starts" in examples[0]:
        starts = [each["word_starts"] if "num_sequences" in each else [each["word_starts"]] for each in examples]
        found, expected = representation.mask.sum(1).tolist(), [len(words) for rows in starts for words in rows]
        assert found == expected, f"the mask must have a position for each word kept, {expected}, found {found}"


def _check_padding(encoder: Encoder, examples: Sequence[Mapping[str, Any]], together: Any, owners: Any) -> None:
    for i, (example, rows) in enumerate(zip(examples, owners, strict=True)):
        inputs = encoder.processor.collate([example])
        alone: Any = encoder(inputs)
        ((*own,),) = _owners(inputs, 1)
        if together.pooled is not None:
            difference = (alone.pooled[own] - together.pooled[rows]).abs().max()
            assert difference < 1e-5, f"pooled features of example {i} change by {difference} in a padded batch"
        for stride, found in (together.maps or {}).items():
            difference = (alone.maps[stride][own] - found[rows]).abs().max()
            assert difference < 1e-5, f"the map of stride {stride} of example {i} changes by {difference} in a batch"
        if together.tokens is not None:
            words, others = alone.tokens[own][alone.mask[own]], together.tokens[rows][together.mask[rows]]
            assert words.shape == others.shape, f"example {i} has {len(words)} tokens alone, {len(others)} in a batch"
            assert torch.allclose(words, others, atol=1e-5), f"tokens of example {i} change in a padded batch"


def _check_encoder_gradients(encoder: Encoder, representation: Representation) -> None:
    parameters = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
    if parameters:
        outputs = [part.square().sum() for part in representation[:2] if part is not None]
        gradients = torch.autograd.grad(torch.stack(outputs).sum(), list(parameters.values()), allow_unused=True)
        reached = [gradient for gradient in gradients if gradient is not None]
        unused = [name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None]
        assert not unused, f"parameters that train must receive a gradient; none came to {unused}"
        assert all(g.isfinite().all() for g in reached), "gradients must be finite"
        assert any(g.any() for g in reached), "gradients must not all be zero"


def _rows(encoded: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]


def _same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(_equal(first[name], second[name]) for name in first)


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether they are the same, NaN where a number is missing included."""
    return one.shape == other.shape and bool(torch.isclose(one, other, rtol=0, atol=0, equal_nan=True).all())
