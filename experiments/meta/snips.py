"""An intent of SNIPS and its slots from 5 and 10 sentences: meta-learning, fine-tuning and prototypes.

``python -m experiments.meta.snips --model MINILM`` holds intents out in turn, trains a joint model of intent and slots
on the other six (``snips.yaml``), goes on from it in episodes (``snips_meta.yaml``), and learns all seven intents from
few sentences of each by every method of ``snips_methods.py``. It prints F1 of the held-out intent among all seven, and
span F1 in its sentences, with intervals over held-out intents, and how far the inner loop is above each other method,
paired by held-out intent. ``--choosing`` holds out the intent that settings are
chosen by. Further flags are those of every ``fit``.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np

from experiments.meta.snips_methods import HERE, METHODS, Few, Said, fit
from mtl_lightning.decoding.spans import spans_of
from mtl_lightning.intervals import t_interval

DATA = Path("build", "meta", "snips")
HELD_OUT = ("BookRestaurant", "GetWeather", "RateBook", "AddToPlaylist", "PlayMusic", "SearchScreeningEvent")
CHOOSING = ("SearchCreativeWork",)
SHOTS = (5, 10)
LOOP = "inner loop"
"""The method that the others are compared with."""
OF_EACH = 100
"""Sentences of each of the six intents to train on."""
JUDGED = 10
"""Sentences of each of the six to be judged by."""

Row = dict[str, Any]


class Score(NamedTuple):
    """How good a method is.

    Attributes:
        intent: F1 of the held-out intent among all seven.
        accuracy: Of all intents, each with the same weight.
        slots: F1 of spans in sentences of the held-out intent.
        seconds: Of the processor.
    """

    intent: float
    accuracy: float
    slots: float
    seconds: float


def rows_by_intent(file: Path) -> dict[str, list[Row]]:
    """Sentences by intent, in the order of the file."""
    found: dict[str, list[Row]] = {}
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["intent"], []).append(row)
    return dict(sorted(found.items()))


def drawn(rows: Mapping[str, Sequence[Row]], number: int, seed: int) -> list[Row]:
    """So many sentences of each intent."""
    draw = np.random.default_rng(seed)
    return [of[i] for of in rows.values() for i in draw.choice(len(of), min(number, len(of)), replace=False)]


def write(file: Path, rows: Sequence[Row]) -> Path:
    """Writes sentences, one a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def score(said: Said, everything: Sequence[Row], own: Sequence[Row], intent: str, seconds: float) -> Score:
    """What a method said, against what is right."""
    names = np.array([row["intent"] for row in everything])
    right = names == np.array(said.intents)
    hits, meant = (right & (names == intent)).sum(), (np.array(said.intents) == intent).sum()
    accuracy = np.mean([right[names == each].mean() for each in np.unique(names)])
    found, known = ([_spans(each) for each in of] for of in (said.tags, [row["slots"] for row in own]))
    common = sum(len(a & b) for a, b in zip(found, known, strict=True))
    slots = 2 * common / max(sum(map(len, found)) + sum(map(len, known)), 1)
    return Score(100 * 2 * hits / (meant + (names == intent).sum()), 100 * accuracy, 100 * slots, seconds)


def _spans(tags: Sequence[str]) -> set[tuple[Any, ...]]:
    return {(each["label"], each["start"], each["end"]) for each in spans_of(tags, [1.0] * len(tags))}


def bases(intent: str, train: Mapping[str, list[Row]], flags: Sequence[str]) -> tuple[Path, Path]:
    """Checkpoints of the joint model and of the one that goes on in episodes; they are trained once."""
    folder = DATA / intent
    known = [rows for name, rows in train.items() if name != intent]
    for number, name in enumerate(("train", "meta")):  # episodes of sentences that the joint model has not seen
        write(folder / f"{name}.jsonl", [row for rows in known for row in rows[number * OF_EACH :][:OF_EACH]])
    joint, meta = (folder / name / "checkpoints" / "last.ckpt" for name in ("joint", "meta"))
    if not joint.exists():
        root = f"--data.datasets.snips.root={folder}"
        fit(folder / "joint", f"--config={HERE / 'snips.yaml'}", root, *flags)
    if not meta.exists():
        roots = [f"--data.datasets.{name}.root={folder}" for name in ("intents", "slots")]
        of_meta = [flag for flag in flags if "tasks.intent" not in flag]
        fit(folder / "meta", f"--config={HERE / 'snips_meta.yaml'}", *roots, *of_meta, f"--init_from={joint}")
    return joint, meta


def labels_of(train: Mapping[str, list[Row]]) -> list[str]:
    """Flags that name all labels, so that models of six intents have room for the seventh."""
    tags = sorted({tag for rows in train.values() for row in rows for tag in row["slots"]})
    return [f"--model.tasks.intent.labels={json.dumps([*train])}", f"--model.tasks.slots.labels={json.dumps(tags)}"]


def measure(intent: str, given: argparse.Namespace, flags: Sequence[str]) -> dict[tuple[str, int], list[Score]]:
    """Scores of each method and number of shots, one for each draw."""
    source = Path(os.environ.get("MTL_DATA", "data"), "snips")
    judged = "dev" if given.choosing else "test"
    train, test = (rows_by_intent(source / f"{split}.jsonl") for split in ("train", judged))
    flags = [*labels_of(train), f"--model.encoder.model={given.model}", *flags]
    joint, meta = bases(intent, train, flags)
    everything = [*drawn({n: rows for n, rows in test.items() if n != intent}, JUDGED, 0), *test[intent]]
    words = [[row["tokens"] for row in of] for of in (everything, test[intent])]
    found: dict[tuple[str, int], list[Score]] = {}
    for shots in SHOTS:
        for seed in range(given.draws):
            folder = DATA / intent
            few_rows = drawn({name: rows[2 * OF_EACH :] for name, rows in train.items()}, shots, seed)
            few = Few(joint, meta, write(folder / "few.jsonl", few_rows), folder, flags)
            for name in given.methods:
                start = process_time()
                said = METHODS[name](few, *words)
                now = score(said, everything, test[intent], intent, process_time() - start)
                found.setdefault((name, shots), []).append(now)
                print(
                    f"{intent}, {shots} sentences, draw {seed}, {name}: {' '.join(f'{x:.1f}' for x in now)}", flush=True
                )
    return found


def table(found: Sequence[Mapping[tuple[str, int], list[Score]]]) -> str:
    """Means over held-out intents with their intervals, one line a method and number of sentences."""
    lines = [
        f"{'':>12}{'shots':>7}{'intent F1':>16}{'accuracy':>16}{'slots F1':>16}{'CPU s':>8}"
        f"{'loop minus it: intent':>24}{'slots':>24}"
    ]
    for name, shots in sorted(found[0], key=lambda key: (key[1], [*METHODS].index(key[0]))):
        means = _means(found, name, shots)
        cells = [_cell(means[:, column]) for column in range(3)]
        line = f"{name:>12}{shots:7}" + "".join(f"{cell:>16}" for cell in cells) + f"{means[:, 3].mean():8.1f}"
        if name != LOOP and (LOOP, shots) in found[0]:
            above = _means(found, LOOP, shots) - means
            line += "".join(f"{_cell(above[:, column]):>24}" for column in (0, 2))
        lines.append(line)
    return "\n".join(lines)


def _means(found: Sequence[Mapping[tuple[str, int], list[Score]]], name: str, shots: int) -> np.ndarray:
    """Scores of a method over its draws, by held-out intent."""
    return np.array([np.mean(each[name, shots], axis=0) for each in found])


def _cell(values: np.ndarray) -> str:
    if len(values) == 1:
        return f"{values[0]:.1f}"
    found = t_interval(values)
    return f"{found.mean:.1f} ± {found.high - found.mean:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="a hub name or a folder")
    parser.add_argument("--choosing", action="store_true", help="hold out the intent that settings are chosen by")
    parser.add_argument("--draws", type=int, default=2, help="how many times the few sentences are drawn")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument(
        "--intents", nargs="+", choices=HELD_OUT, default=HELD_OUT, metavar="INTENT", help="which to hold out"
    )
    known, rest = parser.parse_known_args()
    print(table([measure(intent, known, rest) for intent in (CHOOSING if known.choosing else known.intents)]))
