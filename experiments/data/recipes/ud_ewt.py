"""UD English-EWT with the entities of Universal NER: several labels a word, and the genre of the sentence."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from experiments.data.conllu import Sentence, sentences, write
from experiments.data.recipe import Recipe
from experiments.data.sources import github

ENTITIES = ("PER", "LOC", "ORG")


def convert(treebank: Path, annotations: Path, first_annotations: Path) -> Iterator[tuple[str, bytes]]:
    """A word a line: form, UPOS, XPOS, FEATS and entity in BIO, under the sentence's identifier and genre.

    The sentences are in the treebank's order, and have the same identifiers in both projects. The training split's
    entities are those of Universal NER's first commit.

    Args:
        treebank: UD English-EWT.
        annotations: Universal NER's English-EWT.
        first_annotations: Its first commit.
    """
    for split, folder in {"train": first_annotations, "dev": annotations, "test": annotations}.items():
        annotated = {sentence.id: sentence for sentence in sentences(folder / f"en_ewt-ud-{split}.iob2")}
        parsed = sentences(treebank / f"en_ewt-ud-{split}.conllu")
        yield f"{split}.conll.gz", "".join(_sentence(one, annotated) for one in parsed).encode()


def _sentence(parsed: Sentence, annotated: Mapping[str, Sentence]) -> str:
    """A sentence as it is written. The genre is what its identifier begins with."""
    forms, tags = parsed.column(1), annotated[parsed.id].column(2)
    if forms != annotated[parsed.id].column(1):
        raise ValueError(f"sentence {parsed.id} has other words in the treebank than in Universal NER")
    comments = (f"sent_id = {parsed.id}", f"genre = {parsed.id.partition('-')[0]}")
    return write(comments, forms, *map(parsed.column, (3, 4, 5)), [_entity(tag) for tag in tags])


def _entity(tag: str) -> str:
    """A tag of one of the three types; the first commit has others, which count as none."""
    return tag if tag[2:] in ENTITIES else "O"


TREEBANK = github(
    "UniversalDependencies/UD_English-EWT",
    "c491d62a7a0447946ac85b11308083ea61328ece",
    {
        "en_ewt-ud-train.conllu": "4ee86f89e2f9949f9896cf515b41654e54ed53c8c0aa8d3390e4722084054c74",
        "en_ewt-ud-dev.conllu": "705d6fe8baf41d1e8506cf095b69a718d73de14586ea9acd88ffcfbbd284ffe5",
        "en_ewt-ud-test.conllu": "5343ee44f331584cfe309ae875f404ee4addaae9c8af1ff7ec1b03d18e3d3273",
    },
)
"""Release 2.9, which Universal NER annotates."""
_ANNOTATIONS = github(
    "UniversalNER/UNER_English-EWT",
    "8ed072de2fd24022cc62458997fe96a8fe191ea4",
    {
        "en_ewt-ud-dev.iob2": "0cafd881cf31d39897b6d588420fab8fbbe4423d271725c59921ac9dd49c0713",
        "en_ewt-ud-test.iob2": "821ad826d5f503ac03b4edc3fbc2174f21fbb005ec25863caf2051c434616d6e",
    },
)
_FIRST_ANNOTATIONS = replace(
    github(
        "UniversalNER/UNER_English-EWT",
        "0c7ce0debb13a7d304da656f16309397e8ff36ef",
        {"en_ewt-ud-train.iob2": "2d986b063bb92df99540e37de34b1415eb2a22958b86de3e4698ec3be05e339f"},
    ),
    name="UNER_English-EWT-first",
    obtain=(
        "git clone https://github.com/UniversalNER/UNER_English-EWT UNER_English-EWT-first "
        "&& git -C UNER_English-EWT-first checkout 0c7ce0debb13"
    ),
)
"""Another checkout of the same repository: its later training file differs."""

RECIPE = Recipe(
    name="ud_ewt",
    about=(
        "English web texts: UPOS (17), XPOS (50), FEATS (152) and entities (3 types) of each word, and the genre (5) "
        "of the sentence. The training split has Universal NER's first entities, which its authors mark as not tested: "
        "say so beside any score."
    ),
    licence="CC BY-SA 4.0 (both sources; the texts are portions of LDC2012T13, (c) Google and Yahoo)",
    citation=(
        "Silveira et al., A Gold Standard Dependency Corpus for English, LREC 2014; Mayhew et al., Universal NER, "
        "NAACL 2024"
    ),
    sources=(TREEBANK, _ANNOTATIONS, _FIRST_ANNOTATIONS),
    convert=convert,
    files={
        "train.conll.gz": "5dfce35f1f4dab8e62f6bf2f7a83d7651f7939d98d50ab209d170d0b8237b226",
        "dev.conll.gz": "03acf665220547e3d22510c8a33ace5b20687b6954cb88322bdef9ab5c2ccb37",
        "test.conll.gz": "319dd1a37c5d8a989a4fc39a45646414727cdb27cefae612d6db1c5faaf0fefd",
    },
    size=936_899,
)
