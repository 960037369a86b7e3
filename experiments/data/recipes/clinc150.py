"""CLINC150: the intent of a request, its domain, and requests that are out of scope."""

import json
from collections.abc import Iterator
from pathlib import Path

from experiments.data.recipe import Recipe
from experiments.data.sources import github
from experiments.data.tables import tsv

_SPLITS = {"train": "train", "dev": "val", "test": "test"}
_OUT_OF_SCOPE = "oos"


def convert(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The requests of a split, then those that are out of scope: that is their intent and their domain, too."""
    examples = json.loads((folder / "data/data_full.json").read_text("utf-8"))
    domains = json.loads((folder / "data/domains.json").read_text("utf-8"))
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}
    domain_of[_OUT_OF_SCOPE] = _OUT_OF_SCOPE
    for split, there in _SPLITS.items():
        rows = [*examples[there], *examples[f"{_OUT_OF_SCOPE}_{there}"]]
        table = ((text, intent, domain_of[intent]) for text, intent in rows)
        yield f"{split}.tsv", tsv(("text", "intent", "domain"), table)


RECIPE = Recipe(
    name="clinc150",
    about="Requests to an assistant: intent (150 classes and out of scope) and domain (10 and out of scope).",
    licence="CC BY 3.0",
    citation="Larson et al., An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction, EMNLP 2019",
    sources=(
        github(
            "clinc/oos-eval",
            "828f8093932c8fe6ca7936c3d2e52903b1c523de",
            {
                "data/data_full.json": "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
                "data/domains.json": "b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
            },
        ),
    ),
    convert=convert,
    files={
        "train.tsv": "c8c701d5a80717f0e2b3b4174652f1b6e275cf9218839e0de8d0925343fc6e6d",
        "dev.tsv": "b65045913d8d65541dccf2af931cd0b8c81e2b548e12de2557e8882ff3c77b93",
        "test.tsv": "2e1bc06ad66776ce225f06e573de4832fa5d247184f010e53860e68d316b06dd",
    },
    size=1_488_023,
)
