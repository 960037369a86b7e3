"""Digits spoken by a voice that training never heard: ``python -m experiments.speech``.

Each of the four speakers of ``fsdd`` is the test split once; the others' recordings are training and, where the data
set says so, validation. Trains ``configs/spoken_digits.yaml`` without the task of the speaker, prints the accuracies,
and writes them to ``results.json``. Further arguments are flags of ``fit``.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

RESULTS = Path(__file__).with_name("results.json")
FLAGS = [
    "--model.tasks.speaker=null",
    "--data.datasets.spoken.labels.speaker=null",
    "--model.encoder.segments=4",
    "--model.encoder.sounds.normalise=centred",
    "--model.encoder.sounds.dynamic_range=35",
    "--model.encoder.sounds.speed=0.2",
    "--trainer.max_epochs=40",
    "--evaluate=test",
]


def held_out(speaker: str, data: Path, folder: Path) -> None:
    """Writes the data set with a speaker as its test split."""
    folder.mkdir(parents=True, exist_ok=True)
    with (data / "index.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    with (folder / "index.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            others = "dev" if row["split"] == "dev" else "train"
            writer.writerow({**row, "split": "test" if row["speaker"] == speaker else others})
    for sound in data.glob("*.flac"):
        (folder / sound.name).unlink(missing_ok=True)
        (folder / sound.name).symlink_to(sound.resolve())


def accuracy(speaker: str, data: Path, folder: Path, flags: Sequence[str]) -> float:
    """Trains without a speaker; of this one's digits, the share that the model understands."""
    held_out(speaker, data, folder / speaker)
    scores = folder / f"{speaker}.json"
    root = f"--data.datasets.spoken.root={folder / speaker}"
    command = [sys.executable, "-m", "mtl_lightning", "fit", "--config", "configs/spoken_digits.yaml", *FLAGS, root]
    subprocess.run([*command, f"--json={scores}", *flags], check=True)
    found: float = json.loads(scores.read_text())["digit"]["accuracy"]
    return found


def main(flags: Sequence[str]) -> None:
    """Trains without each speaker in turn."""
    data = Path(os.environ.get("MTL_DATA", "data"), "fsdd")
    speakers = sorted(sound.stem for sound in data.glob("*.flac"))
    found = {speaker: accuracy(speaker, data, Path("build/speech"), flags) for speaker in speakers}
    RESULTS.write_text(json.dumps({"digit": found, "mean": fmean(found.values())}, indent=2) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
