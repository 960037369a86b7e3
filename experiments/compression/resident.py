"""What a process holds that predicts: ``python -m experiments.compression.resident FILE PATH [PATH ...]``.

Args:
    FILE: Inputs by name, a list of values each, in JSON.
    PATH: A checkpoint, or folders that ``export --format onnx`` wrote; torch is imported for a checkpoint alone.

Prints bytes of resident memory once all inputs are predicted one by one.
"""

import json
import sys
from pathlib import Path

from experiments.compression.readers import reader
from experiments.soak.held import held


def main() -> None:
    """Predicts, and prints."""
    file, *paths = map(Path, sys.argv[1:])
    read = reader(paths)
    inputs = json.loads(file.read_text())
    for place in range(len(next(iter(inputs.values())))):
        read({name: [values[place]] for name, values in inputs.items()})
    print(held()["resident"])


if __name__ == "__main__":
    main()
