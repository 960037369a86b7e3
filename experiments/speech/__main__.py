"""Digits spoken by a voice that training never heard: ``python -m experiments.speech``.

Each of the four speakers of ``fsdd`` is the test split once; the others' recordings are training and, where the data
set says so, validation. Trains ``configs/spoken_digits.yaml`` without the task of the speaker, with three seeds, and
scores three checkpoints: the one that has the least loss on validation, which is what counts, the one that has the best
accuracy there, and the last one. Prints the accuracies and writes them to ``results.json``. Further arguments are flags
of ``fit``.
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
PACKAGE = (sys.executable, "-m", "mtl_lightning")
SEEDS = (0, 1, 2)
CHECKPOINTS = {"least loss": "best.ckpt", "best accuracy": "accurate.ckpt", "last epoch": "last.ckpt"}
"""Which epoch counts, by validation on the voices that are heard in training; and its file."""
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
    "--checkpoint.monitor=val/digit/loss",
    "--checkpoint.mode=min",
    "--trainer.callbacks+=ModelCheckpoint",
    "--trainer.callbacks.monitor=val/digit/accuracy",
    "--trainer.callbacks.mode=max",
    "--trainer.callbacks.filename=accurate",
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


def accuracies(speaker: str, seed: int, data: Path, folder: Path, flags: Sequence[str]) -> dict[str, float]:
    """Trains without a speaker; of this one's digits, the shares that three checkpoints of the model understand."""
    held_out(speaker, data, folder / speaker)
    run = folder / "runs" / f"{speaker}_{seed}"
    shutil.rmtree(run, ignore_errors=True)
    trained = [*FLAGS, f"--seed_everything={seed}", f"--data.datasets.spoken.root={folder / speaker}"]
    trained += [f"--trainer.default_root_dir={run}", *flags]
    subprocess.run([*PACKAGE, "fit", "--config", "configs/spoken_digits.yaml", *trained], check=True)
    return {which: scored(run / "checkpoints" / file, run / f"{file}.json") for which, file in CHECKPOINTS.items()}


def scored(checkpoint: Path, scores: Path) -> float:
    """The accuracy of digits that a checkpoint reaches on the test split."""
    test = ["test", "--ckpt_path", str(checkpoint), f"--json={scores}"]
    subprocess.run([*PACKAGE, *test], check=True)
    found: float = json.loads(scores.read_text())["digit"]["accuracy"]
    return round(found, 4)


def main(flags: Sequence[str]) -> None:
    """Trains without each speaker in turn, once for each seed."""
    data = Path(os.environ.get("MTL_DATA", "data"), "fsdd")
    speakers = sorted(sound.stem for sound in data.glob("*.flac"))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for seed in SEEDS:
        each = {speaker: accuracies(speaker, seed, data, Path("build/speech"), flags) for speaker in speakers}
        mean = {which: round(fmean(scores[which] for scores in each.values()), 4) for which in CHECKPOINTS}
        found[f"seed {seed}"] = {**each, "mean": mean}
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
