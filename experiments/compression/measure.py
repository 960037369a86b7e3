"""What ways to deploy cost, and what they predict."""

import json
import subprocess
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from experiments.compression.readers import Inputs, Reader, reader
from experiments.compression.scores import Labels, score

BATCH = 64
SENTENCES = 30
"""What a process has predicted when its memory is read."""


def measured(
    ways: Mapping[str, Sequence[Path]], inputs: Inputs, labels: Labels, timed: int, rounds: int, kept: Path
) -> dict[str, Any]:
    """Size, memory, time and scores of each way, by its name.

    Args:
        ways: The checkpoint or the folders of each; ratios of time are to the second of them.
        inputs: Of the test split.
        labels: By task.
        timed: How many of the examples are timed, one by one.
        rounds: In how many rounds: in each, all ways take their turn, so that ratios are of one run.
        kept: Folder in which all but the times is kept, and looked for.
    """
    alone = {name: kept_alone(name, paths, inputs, labels, kept) for name, paths in ways.items()}
    some = [{name: values[place : place + 1] for name, values in inputs.items()} for place in range(timed)]
    times = _times({name: reader(paths) for name, paths in ways.items()}, some, rounds)
    others = times[list(ways)[1]]
    for name, found in alone.items():
        ratios = [ours / theirs for ours, theirs in zip(times[name], others, strict=True)]
        found |= {"milliseconds": round(1000 * min(times[name]) / timed, 3), "ratio": round(median(ratios), 3)}
    return alone


def kept_alone(name: str, paths: Sequence[Path], inputs: Inputs, labels: Labels, kept: Path) -> dict[str, Any]:
    """All of a way but its time, from its file or anew; see :func:`measured`."""
    file = kept / f"{name}, {len(next(iter(inputs.values())))} examples.json"
    if not file.exists():
        scores = _scores(reader(paths), inputs, labels)
        rounded = {task: round(value, 2) for task, value in scores.items()}
        found = {**_sizes(paths), "resident": _resident(paths, inputs), "scores": rounded}
        kept.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return dict(json.loads(file.read_text("utf-8")))


def _times(readers: Mapping[str, Reader], examples: Sequence[Inputs], rounds: int) -> dict[str, list[float]]:
    """Seconds of the processor for all examples, tokenising and decoding among them, by way and round."""
    found: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(rounds + 1):
        for name, read in readers.items():
            start = time.process_time()
            for example in examples:
                read(example)
            if number > 0:  # the first round reads the files
                found[name].append(time.process_time() - start)
    return found


def _scores(read: Reader, inputs: Inputs, labels: Labels) -> dict[str, float]:
    number = len(next(iter(inputs.values())))
    predictions = []
    for start in range(0, number, BATCH):
        predictions += read({name: values[start : start + BATCH] for name, values in inputs.items()})
    return score(labels, predictions)


def _sizes(paths: Sequence[Path]) -> dict[str, int]:
    """Bytes of weights as they lie there, and compressed; of a checkpoint, the parameters of the model alone."""
    parts = [part for path in paths for part in _weights(path)]
    return {"bytes": sum(map(len, parts)), "compressed": sum(len(zlib.compress(part, 1)) for part in parts)}


def _weights(path: Path) -> list[bytes]:
    if path.suffix != ".ckpt":
        return [file.read_bytes() for file in path.glob("*.onnx")]
    import mtl_lightning

    return [parameter.detach().numpy().tobytes() for parameter in mtl_lightning.load(path).parameters()]


def _resident(paths: Sequence[Path], inputs: Inputs) -> int:
    with TemporaryDirectory() as folder:
        file = Path(folder, "inputs.json")
        file.write_text(json.dumps({name: list(values[:SENTENCES]) for name, values in inputs.items()}))
        command = [sys.executable, "-m", "experiments.compression.resident", str(file), *map(str, paths)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
