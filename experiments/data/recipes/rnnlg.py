"""RNNLG: a sentence from a meaning representation, in four domains of different sizes."""

import json
from collections.abc import Iterator
from pathlib import Path

from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import json_lines

DOMAINS = ("restaurant", "hotel", "laptop", "tv")
_FOLDER = "data/original"
_SPLITS = {"train": "train", "dev": "valid", "test": "test"}


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A pair a line: the meaning representation, its act (what stands before the bracket), people's sentence.

    The source has the sentence of a baseline too, which is left out.
    """
    for domain in DOMAINS:
        for split, there in _SPLITS.items():
            rows = _rows(folder / _FOLDER / domain / f"{there}.json")
            pairs = ({"mr": mr, "act": mr.partition("(")[0], "text": text} for mr, text, _ in rows)
            yield f"{domain}-{split}.jsonl.gz", json_lines(pairs)


def _rows(path: Path) -> list[tuple[str, str, str]]:
    """What a file holds: JSON, below a notice whose lines begin with ``#``."""
    lines = path.read_bytes().splitlines()
    rows: list[tuple[str, str, str]] = json.loads(b"\n".join(line for line in lines if not line.startswith(b"#")))
    return rows


_FILES = {
    "restaurant/train.json": "c59ea956404dc4512a430a06c48412a9bde72c30bd92a78e649312c9075f2fca",
    "restaurant/valid.json": "4061af548f50fc1a5ed63c5763b021e08a1b167919fcbceccbba40e4a696801d",
    "restaurant/test.json": "e52a84edf121d46a0cbfec66a211f24ccc3e2dd4043317639200904a206c3f9b",
    "hotel/train.json": "f933b294fcd32d401602abb39d22bc6a360946672132c2b2079e95ccc2e46f9d",
    "hotel/valid.json": "d8ce28f0e4e7e108f349153a7d8f7f72010ce97f2c4de633fe9b5b38cab86108",
    "hotel/test.json": "4d0b6dc1da1efd4aabec39a45815aac5f0251c636a6a4a7a51cc2f70cec819b3",
    "laptop/train.json": "4e715edeb1a4f70c859b681f18e1798b92d82ca685d65cfaf25c467243b5f409",
    "laptop/valid.json": "00d4f13ce2c0661188479463355c244dcf7f9cc27ce2d99dc1029823e9ad6843",
    "laptop/test.json": "787237205d301f574d3642e76766f4b6a5d91851a17d0faaf0b68c52daa9944b",
    "tv/train.json": "61f102e332eaba7ffff6f084b4a8029dee41a85238f26a3361221879ba411ded",
    "tv/valid.json": "f8ec70310478835e825015f3d07a569daffb3bc5f5edefa613f497804d0ce6c8",
    "tv/test.json": "06cc6aeef5062c3459c68d7a866b79b2579e1f24b1be52f1bde44767cedd3b00",
}

RECIPE = Recipe(
    name="rnnlg",
    about=(
        "Sentences from meaning representations, and the dialogue act (9 to 14), in four domains: restaurant, hotel, "
        "laptop, tv."
    ),
    licence="Apache-2.0",
    citation="Wen et al., Multi-domain Neural Network Language Generation for Spoken Dialogue Systems, NAACL 2016",
    sources=(
        github(
            "shawnwun/RNNLG",
            "61ac6fd1304c9dcf29ea894452e685652718f6f8",
            {f"{_FOLDER}/{path}": digest for path, digest in _FILES.items()},
        ),
    ),
    convert=convert,
    files={
        "restaurant-train.jsonl.gz": "80dc3558cd06bc22fec2204a48d502565b950bb549c4a66e82edab076ede3f82",
        "restaurant-dev.jsonl.gz": "3d5b54dc03bff0884c90b820e7a7c9f43da60c6aea828488ad249859d99d9c63",
        "restaurant-test.jsonl.gz": "3a4c0931cf14b0139d96dcbc17769ba412ead19bb7e183bb5a38e88a04ac3e89",
        "hotel-train.jsonl.gz": "816a9f982facd51d212923ebcc87873328a42f3b5dd8c4d12bea0375c69630c0",
        "hotel-dev.jsonl.gz": "856dabec80cb7b6499779b7e032294563aa25afbc3bd17a6a17b0202b92f0220",
        "hotel-test.jsonl.gz": "76d161627bdfc856e84be6f3f804c04277b078853d3976391921fc90aafdcd78",
        "laptop-train.jsonl.gz": "bd3a1b909f553bfcd8af97adf905eb3f0422de44787c6da0818bd34ad14a4cef",
        "laptop-dev.jsonl.gz": "22035237358740a749921312fe3c061555947140ffa16101cafc65c0dd722316",
        "laptop-test.jsonl.gz": "c6852332f24c9f545d878ba65c6d53a26a02e5494bc04a7de41d0d8c7e7db0b0",
        "tv-train.jsonl.gz": "8bba787473ace6ba515d4562772152d0207c994a4c90f6f7fef3f8e76b37a809",
        "tv-dev.jsonl.gz": "699b21f9e04df2b83b2ebdbcc1e61efd90c6acfcf7f221a475da402cd618c887",
        "tv-test.jsonl.gz": "7778ae0f8c3bbb360fe272e39ad3b80938da16fe574e516bb0c9ac1f502a9d9a",
    },
    size=900_228,
)
