"""The ratings behind VADER: how positive or negative texts of four domains are."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from experiments.data.recipe import Recipe
from experiments.data.sources import pypi
from experiments.data.tables import tsv

_ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
_DOMAINS = {
    "tweets": "tweets",
    "movie": "movieReviewSnippets",
    "amazon": "amazonReviewSnippets",
    "nyt": "nytEditorialSnippets",
}


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A text a row: its identifier, which begins with its document's, its mean rating, and itself."""
    with tarfile.open(folder / _ARCHIVE) as archive:
        for domain, name in _DOMAINS.items():
            file = archive.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            assert file is not None  # a regular file
            rows = (line.rstrip("\r\n").split("\t") for line in io.TextIOWrapper(file, "utf-8", newline="\n"))
            table = ((number, split(domain, number), score, text) for number, score, text in rows)
            yield f"{domain}.tsv.gz", tsv(("id", "split", "score", "text"), table)


def split(domain: str, number: str) -> str:
    """The split of a text: sentences of one document are in the same one. The source has no splits; these are ours."""
    document = number.partition("_")[0]
    digit = int(hashlib.md5(f"{domain}:{document}".encode(), usedforsecurity=False).hexdigest(), 16) % 10
    return {0: "test", 1: "dev"}.get(digit, "train")


RECIPE = Recipe(
    name="vader",
    about="Tweets, film reviews, product reviews and editorials: how positive or negative, rated from -4 to 4.",
    licence="MIT",
    citation="Hutto & Gilbert, VADER: A Parsimonious Rule-based Model for Sentiment Analysis…, ICWSM 2014",
    sources=(
        pypi(
            "vaderSentiment",
            "3.3.2",
            "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
            {_ARCHIVE: "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"},
        ),
    ),
    convert=convert,
    files={
        "tweets.tsv.gz": "a7ca19e33c6aacc50db5cfc0749eecd3062f70b4b61a2be0a34a0e3aabb3b516",
        "movie.tsv.gz": "7855501daafb27d0c065e7f45127cc1d0284dae84ee20f287e0bae47c8416beb",
        "amazon.tsv.gz": "48fc29abf8a488adb6f54ca4e4ffe1fd22e4afa57568e7f89d58b3897b2e0c2b",
        "nyt.tsv.gz": "b138782c1a1c21eebf66302236c79383641b3d1d07829c287d8e9c5dcaa254ec",
    },
    size=1_126_703,
)
