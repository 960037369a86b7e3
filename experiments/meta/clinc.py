"""Intents of new domains from one example each: an episodic map on MiniLM's features against nearest centroids.

``python -m experiments.meta.clinc --model MINILM`` computes the features of all training texts once, then for each of
five folds (two of the ten domains are held out) tests features as they are, trains ``clinc150.yaml`` on the other eight
domains, tests again on the same episodes, and prints accuracies and their differences. Further flags are those of
``fit``, for the map.
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from mtl_lightning.__main__ import main
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.intervals import t_interval

HERE = Path(__file__).parent
DATA = Path("build", "meta", "clinc150")
AS_THEY_ARE = ("--model.encoder.hidden=0", "--model.optimizer.lr=0", "--data.episodes.intents.per_epoch=4")
FOLDS = 5


def texts(file: Path) -> Iterator[list[str]]:
    """Text, intent and domain of the texts that are in scope."""
    for line in file.read_text("utf-8").splitlines()[1:]:
        row = line.split("\t")
        if row[2] != "oos":
            yield row


def features(model: str, found: Sequence[str], batch_size: int = 64) -> np.ndarray:
    """The mean of an encoder's token vectors [N, D]."""
    encoder = TransformerEncoder(model=model, pooling="mean", max_length=32).eval()
    made = np.empty((len(found), encoder.features), np.float32)
    order = np.argsort([len(text) for text in found])
    for first in range(0, len(found), batch_size):
        rows = order[first : first + batch_size]
        columns = encoder.processor.encode({"text": [found[row] for row in rows]})
        examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        with torch.inference_mode():
            pooled = encoder(encoder.processor.collate(examples)).pooled
        assert pooled is not None
        made[rows] = pooled.numpy()
    return made


def write_folds(model: str, source: Path) -> None:
    """Writes ``0/train.npz``, ``0/test.npz`` and so on."""
    rows = list(texts(source))
    intents, domains = (np.array([row[column] for row in rows]) for column in (1, 2))
    made = features(model, [row[0] for row in rows])
    for fold, held_out in enumerate(np.array_split(np.unique(domains), FOLDS)):
        (DATA / str(fold)).mkdir(parents=True, exist_ok=True)
        is_test = np.isin(domains, held_out)
        for split, chosen in (("train", ~is_test), ("test", is_test)):
            file = DATA / str(fold) / f"{split}.npz"
            np.savez(file, features=made[chosen], intent=intents[chosen], domain=domains[chosen])


def accuracy(fold: int, name: str, flags: Sequence[str]) -> float:
    """Percent of right answers in the test episodes of a fold."""
    file = DATA / str(fold) / f"{name}.json"
    place = [f"--data.datasets.intents.root={DATA / str(fold)}", f"--json={file}"]
    if status := main(["fit", f"--config={HERE / 'clinc150.yaml'}", *place, *flags]):
        raise SystemExit(status)
    return 100 * float(json.loads(file.read_text())["intent"]["accuracy"])


def compare(flags: Sequence[str]) -> str:
    """Accuracies of all folds, and the mean difference with its interval over folds."""
    lines = [f"{'fold':>4}{'as they are':>13}{'mapped':>9}{'difference':>12}"]
    pairs = [(accuracy(fold, "as_they_are", AS_THEY_ARE), accuracy(fold, "mapped", flags)) for fold in range(FOLDS)]
    lines += [f"{i:4}{before:13.2f}{after:9.2f}{after - before:+12.2f}" for i, (before, after) in enumerate(pairs)]
    found = t_interval(np.array([after - before for before, after in pairs]))
    before, after = np.mean(pairs, axis=0)
    return "\n".join(
        [*lines, f"mean{before:13.2f}{after:9.2f}{found.mean:+12.2f} ({found.low:+.2f} to {found.high:+.2f})"]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="a hub name or a folder")
    given, rest = parser.parse_known_args()
    if not (DATA / str(FOLDS - 1) / "test.npz").exists():
        write_folds(given.model, Path(os.environ.get("MTL_DATA", "data"), "clinc150", "train.tsv"))
    print(compare(rest))
