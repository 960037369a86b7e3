"""What of texts is beyond an encoder's limit."""

from collections.abc import Iterator, Sequence

from mtl_lightning.inputs.tokenizers import FastTokenizer


def cut_off(tokenizer: FastTokenizer, max_length: int, texts: Sequence[str]) -> list[str]:
    """What of each of one or two texts does not fit.

    Args:
        tokenizer: A fast tokenizer.
        max_length: Longest sequence in tokens.
        texts: Of one example.
    """
    encoded = tokenizer(*texts, truncation=True, max_length=max_length, return_offsets_mapping=True)
    sides, offsets = encoded.sequence_ids(0), encoded["offset_mapping"]
    return list(_rests(texts, sides, offsets, left=tokenizer.truncation_side == "left"))


def _rests(
    texts: Sequence[str], sides: Sequence[int | None], offsets: Sequence[tuple[int, int]], left: bool
) -> Iterator[str]:
    for side, text in enumerate(texts):
        kept = [offset for of, offset in zip(sides, offsets, strict=True) if of == side]
        if not kept:
            yield text
        elif left:
            yield text[: kept[0][0]]
        else:
            yield text[kept[-1][1] :]
