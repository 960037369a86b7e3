"""UD Chinese-GSDSimp with the entities of Universal NER: words, parts of speech and entities."""

from collections.abc import Iterator
from pathlib import Path

from experiments.data.conllu import Sentence, sentences, write
from experiments.data.recipe import Recipe
from experiments.data.sources import github


def convert(annotations: Path, treebank: Path, traditional: Path) -> Iterator[tuple[str, bytes]]:
    """A word a line: form, XPOS and entity in BIO; the split's name stands before the sentence's identifier.

    Args:
        annotations: Universal NER's Chinese-GSDSimp, which has the words and entities.
        treebank: UD Chinese-GSDSimp, which has the parts of speech of dev and test.
        traditional: UD Chinese-GSD 1.3, in traditional characters, which has those of training. Its n-th sentence
            is the n-th one here.
    """
    parts_of_speech = {
        "train": traditional / "zh-ud-train.conllu",
        "dev": treebank / "zh_gsdsimp-ud-dev.conllu",
        "test": treebank / "zh_gsdsimp-ud-test.conllu",
    }
    for split, path in parts_of_speech.items():
        pairs = zip(sentences(annotations / f"zh_gsdsimp-ud-{split}.iob2"), sentences(path), strict=True)
        yield f"{split}.conll.gz", "".join(_sentence(split, *pair) for pair in pairs).encode()


def _sentence(split: str, annotated: Sentence, tagged: Sentence) -> str:
    """A sentence as it is written. Where both are not cut into as many words, no part of speech is known: ``_``."""
    alike = len(annotated.words) == len(tagged.words)
    parts_of_speech = tagged.column(4) if alike else ["_"] * len(annotated.words)
    return write([f"sent_id = {split}-{annotated.id}"], annotated.column(1), parts_of_speech, annotated.column(2))


RECIPE = Recipe(
    name="ud_zh_gsdsimp",
    about="Chinese: segmentation into words, XPOS (43; missing in 5 sentences of training) and entities (3 types).",
    licence="CC BY-SA 4.0 (all three sources)",
    citation="Mayhew et al., Universal NER, NAACL 2024",
    sources=(
        github(
            "UniversalNER/UNER_Chinese-GSDSIMP",
            "1f0307599dece7b83f4cba90ce9b63ef37a7b162",
            {
                "zh_gsdsimp-ud-train.iob2": "a03b5260c3d960aa711ff5f12b797de5c7d7f412563593c173cd0e7135001db5",
                "zh_gsdsimp-ud-dev.iob2": "8aeab3ac662468e258a65f887844c50cee8311cb080b60a421ff7aa8a05e8032",
                "zh_gsdsimp-ud-test.iob2": "f1d8faa790d914fe01a24627874c8e7fad9c40b54742f5aefab5ba3f7c8edede",
            },
        ),
        github(
            "UniversalDependencies/UD_Chinese-GSDSimp",
            "eb3aed31ebb170897405ee5cd1db83a1a0b11864",
            {
                "zh_gsdsimp-ud-dev.conllu": "342a2969df6d6d08bdc25dbc067c93c86ab3099bb054a9921ae7067cbc2c53ad",
                "zh_gsdsimp-ud-test.conllu": "573f59b799b499a920d2d5bdc0e3c1dbd7bcacf86bdece4334ecbd03e21b6150",
            },
        ),
        github(
            "UniversalDependencies/UD_Chinese-GSD",
            "9eab5182234b0429e5dd738cfe2a5626fef96e58",
            {
                "zh-ud-train.conllu": "94c1ad7f8f7d545169bafbef367852b965ec5eada13d614d8e8b6b9297ee6d0d",
            },
        ),
    ),
    convert=convert,
    files={
        "train.conll.gz": "593cfa1c4b0090f79c0e24ad53f4102feb982e36177f9500d0cc42e2a2bbe1fa",
        "dev.conll.gz": "e599aa2b002df2b659ad3c3185c22e09a85c43af2bbb5e2a400d5d8e2a0c64db",
        "test.conll.gz": "9fd0e71dd62746dae19765479553a5ac0824ed90ff2b082d4d65bff3ab9f0220",
    },
    size=418_761,
)
