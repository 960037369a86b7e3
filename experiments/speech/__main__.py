"""Digits spoken by a voice that training never heard: ``python -m experiments.speech``.

Each of the four speakers of ``fsdd`` is the test split once; the others' recordings are training and, where the data
set says so, validation. Trains ``configs/spoken_digits.yaml`` without the task of the speaker, prints the accuracies of
the last epoch and of the checkpoint that validation on the other speakers chose, and writes them to ``results.json``.
Further arguments are flags of ``fit``.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

RESULTS = Path(__file__).with_name("results.json")
CHOSEN, LAST = "by validation", "last epoch"
FLAGS = [
    "--model.tasks.speaker=null",
    "--data.datasets.spoken.labels.speaker=null",
    "--model.encoder.channels=[16,32,64]",
    "--model.encoder.segments=4",
    "--model.encoder.batch_norm=true",
    "--model.encoder.sounds.normalise=centred",
    "--model.encoder.sounds.dynamic_range=35",
    "--model.encoder.sounds.speed=0.2",
    "--model.encoder.sounds.vtlp=0.15",
    "--trainer.max_epochs=40",
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


def accuracy(speaker: str, data: Path, folder: Path, flags: Sequence[str]) -> dict[str, float]:
    """Trains without a speaker; of this one's digits, the shares that two checkpoints of the model understand."""
    held_out(speaker, data, folder / speaker)
    run = folder / "runs" / speaker
    shutil.rmtree(run, ignore_errors=True)
    trained = [*FLAGS, f"--data.datasets.spoken.root={folder / speaker}", f"--trainer.default_root_dir={run}", *flags]
    config = ["--config", "configs/spoken_digits.yaml"]
    chosen = scored(["fit", *config, *trained, "--evaluate=test"], folder / f"{speaker}.json")
    last = scored(["test", "--ckpt_path", str(run / "checkpoints/last.ckpt")], folder / f"{speaker}_last.json")
    return {CHOSEN: chosen, LAST: last}


def scored(command: Sequence[str], scores: Path) -> float:
    """The accuracy of digits that a command of the package measures."""
    subprocess.run([sys.executable, "-m", "mtl_lightning", *command, f"--json={scores}"], check=True)
    found: float = json.loads(scores.read_text())["digit"]["accuracy"]
    return found


def main(flags: Sequence[str]) -> None:
    """Trains without each speaker in turn."""
    data = Path(os.environ.get("MTL_DATA", "data"), "fsdd")
    speakers = sorted(sound.stem for sound in data.glob("*.flac"))
    found = {speaker: accuracy(speaker, data, Path("build/speech"), flags) for speaker in speakers}
    mean = {which: fmean(each[which] for each in found.values()) for which in (CHOSEN, LAST)}
    RESULTS.write_text(json.dumps({"digit": found, "mean": mean}, indent=2) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
