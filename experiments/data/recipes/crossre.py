"""CrossRE: entities and directed relations of the same sentence, in four of its six domains."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import json_lines

DOMAINS = ("ai", "news", "politics", "science")


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A sentence a line. Spans are of tokens, their ends inclusive; the annotators' remarks are left out."""
    for domain in DOMAINS:
        for split in ("train", "dev", "test"):
            lines = (folder / f"crossre_data/{domain}-{split}.json").read_bytes().splitlines()
            yield f"{domain}-{split}.jsonl.gz", json_lines(_example(json.loads(line)) for line in lines)


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "doc_key": row["doc_key"],
        "tokens": row["sentence"],
        "entities": [{"start": start, "end": end, "type": kind} for start, end, kind in row["ner"]],
        "relations": [
            {"head": ends[:2], "tail": ends[2:], "type": kind, "uncertain": uncertain, "syntax_ambiguity": ambiguous}
            for *ends, kind, _, uncertain, ambiguous in row["relations"]
        ],
    }


RECIPE = Recipe(
    name="crossre",
    about=(
        "Relations between entities in four domains (AI, news, politics, science): entities (a set of types for each "
        "domain) and directed relations (17 types) of the same sentence."
    ),
    licence="GPL-3.0 (the repository's; the texts are from Wikipedia and Reuters, by way of CrossNER)",
    citation="Bassignana and Plank, CrossRE: A Cross-Domain Dataset for Relation Extraction, Findings of EMNLP 2022",
    sources=(
        github(
            "mainlp/CrossRE",
            "a58885fa760559d2dc9e176e730fe731f020d6f3",
            {
                "crossre_data/ai-train.json": "44d54f2669c2a41f613aac70095aed8a3b8f2e6befde454abb99bf97c77385d3",
                "crossre_data/ai-dev.json": "52fa53bf57b51b63f49ee58420188e49c5bd04a34cd6e0b99089676b0ba2264a",
                "crossre_data/ai-test.json": "2000a4011676319f9f3f3f6044e7de356b975d81979e080460e82c2273ed55cb",
                "crossre_data/news-train.json": "a8e206fa6f1a449e9af0a85ed349bc98b82e89771b4735a1856044c744abcc97",
                "crossre_data/news-dev.json": "e087bb168732b8e923e32bb4ee9b2ab582342f9962eaf9487e1a43d7e361f5e0",
                "crossre_data/news-test.json": "0378cb359dfd37e0ac46d0488baf3809ae7a06dbbe99d19af570af9a2de41535",
                "crossre_data/politics-train.json": "63061d1abd26e9a7f8ef84f9b6aba9c5a1c2f37697270666a3c33b5925b9f125",
                "crossre_data/politics-dev.json": "9ae8b87114774d0a78b6a9dcac0f434e59c38ba9fb243eaaff2f7df75ffa4fab",
                "crossre_data/politics-test.json": "95e2432cd6aac170f17019ec96aea60bd2674a7a8583ce4d7d8aaf3c37e0d441",
                "crossre_data/science-train.json": "1f860783dc2f05b09ac85447f523b6fafdddc6d861995994ac7bdcba9a01a5f6",
                "crossre_data/science-dev.json": "6a2b5ed08528b504ca7eefa7cec1354d3d2f7f3f0bebeb7f43f82bed077f4d45",
                "crossre_data/science-test.json": "d1c0bace45532227b44de23121394bc660690b6f1e3c3f011f633eb2c9bd5a42",
            },
        ),
    ),
    convert=convert,
    files={
        "ai-train.jsonl.gz": "e051c6e0c21e7430adaf5b648326e49e28c27df9343340706773e5453a9d976e",
        "ai-dev.jsonl.gz": "ae630596caf61947a6a4d94409a4c1af4f53b2cd1f9008b41d5ef0579f9ed02b",
        "ai-test.jsonl.gz": "51f13039cdc0274e88afd9c8c632af8fcce066178bd06c346ac9c807e20a1196",
        "news-train.jsonl.gz": "59c98e7513d7784f0de41ebf15a8c93af627b3c38aedd3ee88c56f275c243fd6",
        "news-dev.jsonl.gz": "49f5e6b5e3f7fb905f13a8e0db653b67a5b83c99b5221fd44368516847394062",
        "news-test.jsonl.gz": "de1827eff5f5d8907fa120bafad564d1f10eade9bcec7d74ff4e4db69f30ad8d",
        "politics-train.jsonl.gz": "43dfe15fd63bc671104c7beb652237e643e7ef713772506097a458937190c3c2",
        "politics-dev.jsonl.gz": "91049147f92a2e49ab7645c6bb2a67dcb981aded105974cdf44341b756d831cc",
        "politics-test.jsonl.gz": "1c1e15adea6047d1f1823098cf26b83b10de59b2e8908fb62ac546880d55bcfe",
        "science-train.jsonl.gz": "f65e7d209f4d513fe5b96d0b452c80a3653d789a061af3efd9d35adf144b29cc",
        "science-dev.jsonl.gz": "226123031bf68f541fa7810b6e56586d601d6d366eb3f1969d0c5e582f384417",
        "science-test.jsonl.gz": "1459e7253c6cdafbb92768e2e456eb3ad9bc48da03ff7844713ac22a9263232c",
    },
    size=469_334,
)
