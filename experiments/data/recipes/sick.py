"""SICK: the relatedness and the entailment of the same two sentences. Its licence forbids commercial use."""

from collections.abc import Iterator
from pathlib import Path

from experiments.data.recipe import Recipe
from experiments.data.sources import github

COLUMNS = ("pair_id", "sentence_a", "sentence_b", "relatedness", "entailment")
_FOLDER = "data/sts/sick2014"
_SPLITS = {"train": "train", "dev": "trial", "test": "test_annotated"}


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The official splits as they are, but for the columns' names and one kind of line ends."""
    for split, there in _SPLITS.items():
        _, *rows = (folder / _FOLDER / f"SICK_{there}.txt").read_bytes().splitlines()
        yield f"{split}.tsv", b"".join(row + b"\n" for row in ("\t".join(COLUMNS).encode(), *rows))


_FILES = {
    "SICK_train.txt": "266cf8047149bd1d68138dd30439f3122bff30069740ac6705bb6197d9f1b48e",
    "SICK_trial.txt": "5a88cfb62f8c6bd2a3cce0f2421ba2cb8c2be5ab4a800f6f01e2c64aafb7db56",
    "SICK_test_annotated.txt": "2b8aa806658d6fc23c6824c83776c2d4fee7556000817b5ec0f982861413b7d0",
}

RECIPE = Recipe(
    name="sick",
    about="Pairs of sentences: relatedness (1 to 5) and entailment (3 classes). NOT FOR COMMERCIAL USE.",
    licence="CC BY-NC-SA 3.0: not for commercial use",
    citation=(
        "Marelli et al., A SICK Cure for the Evaluation of Compositional Distributional Semantic Models, LREC 2014"
    ),
    sources=(
        github(
            "brmson/dataset-sts",
            "e1d3375f5b3bc24f21aa4e46f96eb379e9fc1081",
            {f"{_FOLDER}/{path}": digest for path, digest in _FILES.items()},
        ),
    ),
    convert=convert,
    files={
        "train.tsv": "8c4e35100d3bfea8f0d2b128fc2eb4731f7fa87e989e01d41bfbb55a973b509b",
        "dev.tsv": "c544836c6d218b628420e0b718d61f85293b87e9314ec54c649e14799b9ebd39",
        "test.tsv": "3058847f1480b445702f8fd1938d5c9f7225599f4b99c46c526ef03945b7c060",
    },
    size=1_118_474,
)
