"""PolicyQA: the span of a privacy policy that answers a question, and the practice that the question is about."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import json_lines

DEV_SITES = frozenset({"cariboucoffee.com", "internetbrands.com", "sci-news.com", "theatlantic.com"})
"""Web sites of the official dev file that are our dev split; its other sites are our training split."""


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A question a line, in the source's order."""
    questions = list(_questions(folder / "data/dev.json"))
    yield "train.jsonl.gz", json_lines(one for one in questions if one["site"] not in DEV_SITES)
    yield "dev.jsonl.gz", json_lines(one for one in questions if one["site"] in DEV_SITES)
    yield "test.jsonl.gz", json_lines(_questions(folder / "data/test.json"))


def _questions(path: Path) -> Iterator[dict[str, Any]]:
    """The questions of a file in SQuAD's format. A type is ``PRACTICE|||ATTRIBUTE|||VALUE``."""
    for site in json.loads(path.read_bytes())["data"]:
        for paragraph in site["paragraphs"]:
            for question in paragraph["qas"]:
                yield {
                    "id": question["id"],
                    "site": site["title"],
                    "question": question["question"],
                    "context": paragraph["context"],
                    "answers": [{"start": one["answer_start"], "text": one["text"]} for one in question["answers"]],
                    "practice": question["type"].partition("|||")[0],
                    "type": question["type"],
                }


RECIPE = Recipe(
    name="policyqa",
    about=(
        "Questions on privacy policies: the span that answers, and the practice asked about (9). Test is the official "
        "one; training and dev are the official dev file, split by web site, so that all three share no site."
    ),
    licence="MIT",
    citation="Ahmad et al., PolicyQA: A Reading Comprehension Dataset for Privacy Policies, Findings of EMNLP 2020",
    sources=(
        github(
            "wasiahmad/PolicyQA",
            "775538bc6d932e9d0dd16975d4373659cf8964fe",
            {
                "data/dev.json": "5ced8cbe6617c132999a57b3ab910fc242501357fc99cbc5a1802f0a1b9ce4bf",
                "data/test.json": "92929068b7dffa1843f81d661f23da86a64f4a35ffae59fa8d78878277ab9a7f",
            },
        ),
    ),
    convert=convert,
    files={
        "train.jsonl.gz": "0f15cdb5c388a5124d429753b026a33ed6b1eb97477f30c903962815281d7b81",
        "dev.jsonl.gz": "c59e35465aaaa1c755755325dffb8974e8262e665c3b0fe00be4d2dc3e7f9390",
        "test.jsonl.gz": "7505067fdd709074dcd74badf6df2683a666131e51385e0c6da52ae254537a92",
    },
    size=605_674,
)
