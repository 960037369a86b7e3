"""UD English-EWT: the dependency head and relation of each word, for the sentences of ``ud_ewt``."""

from collections.abc import Iterator
from pathlib import Path

from experiments.data.conllu import sentences, write
from experiments.data.recipe import Recipe
from experiments.data.recipes.ud_ewt import TREEBANK


def convert(treebank: Path) -> Iterator[tuple[str, bytes]]:
    """A word a line: form, UPOS, HEAD (1-based, 0: root) and DEPREL, under the sentence's identifier."""
    for split in ("train", "dev", "test"):
        parsed = sentences(treebank / f"en_ewt-ud-{split}.conllu")
        written = (write([f"sent_id = {one.id}"], *map(one.column, (1, 3, 6, 7))) for one in parsed)
        yield f"{split}.conll.gz", "".join(written).encode()


RECIPE = Recipe(
    name="ud_ewt_dep",
    about="Dependency heads and relations (49) for the sentences of ud_ewt, line by line.",
    licence="CC BY-SA 4.0 (the texts are portions of LDC2012T13, (c) Google and Yahoo)",
    citation="Silveira et al., A Gold Standard Dependency Corpus for English, LREC 2014",
    sources=(TREEBANK,),
    convert=convert,
    files={
        "train.conll.gz": "23bf763e3aa270769822857ed01a14e35391a268de997cc03daddcd263402cb6",
        "dev.conll.gz": "fdc6d1a5a3a5eb2280a043dc3385cc8f1019812ec94d0966c948f7778ea9d500",
        "test.conll.gz": "8f3f54ec79e968d3fdab1985158b44cf1a30898f1c1061fb1805cb07af793b0f",
    },
    size=1_204_820,
)
