"""Sentences from meaning representations, and RNNLG's official scores: ``python -m experiments.generation``.

Trains ``configs/generation.yaml``, or takes a checkpoint; lets the model write for all meaning representations of the
test splits; and prints the scores of each domain beside those of nearest neighbours, which are computed here too, and
the published ones. With ``--masks``, the model reads and writes masks for values, as all published systems do. Further
flags are those of ``fit``.
"""

import argparse
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mtl_lightning
from experiments.data.place import data_folder
from experiments.data.recipes.rnnlg import DOMAINS
from experiments.generation import masks
from experiments.generation.neighbours import neighbours
from experiments.generation.scores import Scores, scores

CONFIG = Path("configs/generation.yaml")
Rows = list[tuple[str, str]]
PUBLISHED = {
    "restaurant": {"neighbours": (59.4, 0.60), "SC-LSTM": (75.3, 0.38)},
    "hotel": {"neighbours": (67.5, 1.75), "SC-LSTM": (84.8, 3.07)},
    "laptop": {"neighbours": (41.4, 0.88), "SC-LSTM": (51.2, 0.79)},
    "tv": {"neighbours": (43.2, 3.69), "SC-LSTM": (52.7, 2.31)},
}
"""BLEU and slot error of benchmark.png in the data's repository."""


def rows(folder: Path, domain: str, split: str) -> Rows:
    """Meaning representations with people's texts."""
    with gzip.open(folder / f"{domain}-{split}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [(row["mr"], row["text"]) for row in map(json.loads, file)]


def mask(data: Path, output: Path) -> list[str]:
    """Writes the data with masks for values, and returns the flags of ``fit`` that read it."""
    names = [(domain, split) for domain in DOMAINS for split in ("train", "dev", "test")]
    masks.write(output, {f"{domain}-{split}": rows(data, domain, split) for domain, split in names})
    return [f"--data.datasets.{domain}.root={output}" for domain in DOMAINS]


def train(output: Path, flags: Sequence[str]) -> Path:
    """The checkpoint of a run of its own: the best one, or the last where validation was turned off."""
    command = [sys.executable, "-m", "mtl_lightning", "fit", "--config", str(CONFIG)]
    command += [f"--trainer.default_root_dir={output / 'run'}", f"--json={output / 'fit.json'}", *flags]
    subprocess.run(command, check=True)
    best = output / "run" / "checkpoints" / "best.ckpt"
    return best if best.exists() else best.with_name("last.ckpt")


def write(checkpoint: Path, asked: Mapping[str, Sequence[str]], *, has_masks: bool) -> dict[str, dict[str, str]]:
    """What the model writes for the meaning representations of each domain."""
    model = mtl_lightning.load(checkpoint)
    found = {}
    for domain, mrs in asked.items():
        task, start = f"{domain}_text", time.process_time()
        prompts = {mr: masks.masked(mr) if has_masks else mr for mr in mrs}
        alike = sorted(set(prompts.values()), key=len)  # prompts of a batch have about the same length
        texts = {
            prompt: row[task]["text"]
            for prompt, row in zip(alike, model.predict({"prompt": alike}, tasks=[task]), strict=True)
        }
        found[domain] = {
            mr: masks.unmasked_text(texts[prompt], mr) if has_masks else texts[prompt] for mr, prompt in prompts.items()
        }
        print(f"{domain}: {len(alike):,} texts in {time.process_time() - start:.0f} s of processor", flush=True)
    return found


def compare(folder: Path, truth: Mapping[str, Rows], written: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Scores of each domain: of what is written, and of nearest neighbours for the same examples."""
    found = {}
    for domain, examples in truth.items():
        known = rows(folder, domain, "train") + rows(folder, domain, "dev")
        by_model = [(mr, [written[domain][mr]]) for mr, _ in examples if mr in written[domain]]
        near = neighbours(known, [mr for mr, _ in by_model])
        found[domain] = {"model": scores(by_model, examples), "neighbours": scores(near, examples)}
    return found


def table(found: Mapping[str, Mapping[str, Scores]]) -> str:
    """Scores of each domain, a line each."""
    lines = [f"{'':12}{'':22}{'BLEU':>7}{'slot error, %':>15}"]
    for domain, of in found.items():
        lines += [f"{domain:12}{name:22}{row.bleu:7.1f}{row.slot_error:15.2f}" for name, row in of.items()]
        for name, (bleu, error) in PUBLISHED[domain].items():
            lines.append(f"{domain:12}{name + ', published':22}{bleu:7.1f}{error:15.2f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, writes, scores."""
    parser = argparse.ArgumentParser(prog="python -m experiments.generation", description=__doc__, allow_abbrev=False)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="of a trained model; default: train one")
    parser.add_argument("--masks", action="store_true", help="masks for values, in what is read and what is written")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N examples of each test split alone")
    parser.add_argument("--output", type=Path, default=Path("build/generation"), metavar="FOLDER", help="for all files")
    options, flags = parser.parse_known_args(arguments)
    if options.checkpoint and flags:
        parser.error(f"a checkpoint needs no training, so these flags say nothing: {' '.join(flags)}")
    folder = data_folder() / "rnnlg"
    truth = {domain: rows(folder, domain, "test") for domain in DOMAINS}
    options.output.mkdir(parents=True, exist_ok=True)
    read = mask(folder, options.output / "data") if options.masks else []
    checkpoint = options.checkpoint or train(options.output, [*read, *flags])
    asked = {domain: [mr for mr, _ in found[: options.limit]] for domain, found in truth.items()}
    written = write(checkpoint, asked, has_masks=options.masks)
    (options.output / "texts.json").write_text(json.dumps(written, indent=1) + "\n", "utf-8")
    found = compare(folder, truth, written)
    print(table(found))
    plain = {domain: {name: row._asdict() for name, row in of.items()} for domain, of in found.items()}
    (options.output / "scores.json").write_text(json.dumps(plain, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
