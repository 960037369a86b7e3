"""GoEmotions: the emotions of a comment, and the seven that Ekman would tell apart."""

import json
from collections.abc import Iterator
from pathlib import Path

from experiments.data.lines import cells, lines
from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import tsv

EKMAN = {
    "anger": ["anger", "annoyance", "disapproval"],
    "disgust": ["disgust"],
    "fear": ["fear", "nervousness"],
    "joy": [
        *("joy", "amusement", "approval", "excitement", "gratitude", "love", "optimism", "relief", "pride"),
        *("admiration", "desire", "caring"),
    ],
    "sadness": ["sadness", "disappointment", "embarrassment", "grief", "remorse"],
    "surprise": ["surprise", "realization", "confusion", "curiosity"],
    "neutral": ["neutral"],
}
"""Ekman's emotion → those of GoEmotions that count as it, in the paper's order."""


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A comment a row: text, positions of its emotions among the labels, and an identifier, which is left out."""
    labels = lines(folder / "data/original/labels.txt")
    for split in ("train", "dev", "test"):
        rows = cells(folder / f"data/original/{split}.tsv")
        table = ((text, ",".join(labels[int(n)] for n in numbers.split(","))) for text, numbers, _ in rows)
        yield f"{split}.tsv.gz", tsv(("text", "labels"), table)
    yield "labels.txt", "".join(f"{label}\n" for label in labels).encode()
    yield "ekman_mapping.json", f"{json.dumps(EKMAN, indent=1)}\n".encode()


RECIPE = Recipe(
    name="goemotions",
    about="Comments on Reddit: their emotions, several labels of 28, and a map of these to Ekman's 7.",
    licence="CC BY 4.0 (Google Research; the repository that has its filtered split: Apache-2.0)",
    citation="Demszky et al., GoEmotions: A Dataset of Fine-Grained Emotions, ACL 2020",
    sources=(
        github(
            "monologg/GoEmotions-pytorch",
            "b75f9d3a8b76bc1060687925b04ca98a1b8ea66b",
            {
                "data/original/train.tsv": "1c254a142be5c00e80d819b9ae1bbd36d94b2eeb8f4b1271846508d57e57d9c5",
                "data/original/dev.tsv": "575489c079c9de1097062a01738f998590d6b7ead66dd1c9fd1d2ba01fd8bc62",
                "data/original/test.tsv": "0587b2dd8b27b97352adbfc3fb083d46005c8946657fdc2b1ca8b1cc7f1f8be4",
                "data/original/labels.txt": "45c3ef86782d2a4d7fedcd6d8c111aa0d0e94720689bd164fac94fefb4495a89",
            },
        ),
    ),
    convert=convert,
    files={
        "train.tsv.gz": "4cee32d7a5e31192e304785be8f8e40def44359cbedddb4182af83dd1bb1caad",
        "dev.tsv.gz": "1722ba66bc1a697197defe92f314db8b0c9094d5c2476f5f4aaf72312ab5d137",
        "test.tsv.gz": "fba43064c0eed763d467ce2e57b7f4eb5082b83f7342a9abf15de82121112b19",
        "labels.txt": "c2751b598c0da6d866e50058223c79a3d469546e9dc9c134c271e747d3a90ca1",
        "ekman_mapping.json": "88b7ea9c6c3c8646bb22d20f6ac1a00072411308866168d313de3c9907321788",
    },
    size=1_745_289,
)
