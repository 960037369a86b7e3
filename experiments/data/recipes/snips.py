"""SNIPS: the intent of a sentence, and the slots of its words."""

from collections.abc import Iterator
from pathlib import Path

from experiments.data.lines import lines
from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import json_lines

_SPLITS = {"train": "train", "dev": "valid", "test": "test"}


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """``label``, ``seq.in`` and ``seq.out`` have a line a sentence: its intent, its words, the slot of each word."""
    for split, there in _SPLITS.items():
        columns = (lines(folder / "data/snips" / there / name) for name in ("seq.in", "seq.out", "label"))
        rows = zip(*columns, strict=True)
        yield (
            f"{split}.jsonl",
            json_lines(
                {"tokens": words.split(), "slots": slots.split(), "intent": intent} for words, slots, intent in rows
            ),
        )


RECIPE = Recipe(
    name="snips",
    about="Requests to a voice assistant: the intent of a sentence (7 classes) and the slots of its words (39 types).",
    licence="CC0 1.0 (github.com/sonos/nlu-benchmark; SlotGated-SLU states none for its tokenised copy)",
    citation="Coucke et al., Snips Voice Platform, 2018, arXiv:1805.10190",
    sources=(
        github(
            "MiuLab/SlotGated-SLU",
            "61f0307c729b1fad479ef1de94aa5ac5dee601b0",
            {
                "data/snips/train/label": "bfd7df6cf9dd76c5da5d8b61bc85f90386197bdd3d7510c1d324c051537b962f",
                "data/snips/train/seq.in": "04ad1e3f2121d83c6478f9a4b17d2dbdc21d06d6127f73cb7af835ed733f9855",
                "data/snips/train/seq.out": "fd5f2121d8055827e5d6b3d3bac30f3d7e94e82a5d437751960cbdd9e1b4f6d3",
                "data/snips/valid/label": "9c1dd041216f647bcfca838aaf1a48eb5781e4404256d31ff07cd38a5436c52f",
                "data/snips/valid/seq.in": "64e0f6d8ad8aab3a3828164d7d53731a0993d3ca1aed437ceaca6d3d568d410e",
                "data/snips/valid/seq.out": "712e6d34feb8d52d208b820a5f8bae6e6ff990f08374507dfde22de389088319",
                "data/snips/test/label": "37a26da3ad079bb41c42c85a3a8f827eb47efec4c5917ce5d08f4b2736e4f830",
                "data/snips/test/seq.in": "c1e341173fcea2951a8ca371956a6f81c76de87b9583c62eb87edd6158fa3a7c",
                "data/snips/test/seq.out": "58c07c9097d5e1f78889765c2a535a160f6455b90b3142055c8051847afcca47",
            },
        ),
    ),
    convert=convert,
    files={
        "train.jsonl": "b2e1113edc0504b0ab1af8c0d419c82c9c7ee685eccf392cbd30fec96d2b434d",
        "dev.jsonl": "4e7c3447cda2528ba7f6cb3931284ea1aeea7dde1040aef670d0a628b4224561",
        "test.jsonl": "5c73c4ad60972c4f708d5a1962109c22a572a0ec03c74f03b01e4be466396b01",
    },
    size=3_240_495,
)
