"""What Weights & Biases wrote of a run offline."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from wandb.proto.wandb_internal_pb2 import Record


def records(log: Path) -> list[Record]:
    """The records of a log file, or of a run's folder, in order."""
    wandb = str(Path(sys.executable).with_name("wandb"))
    done = subprocess.run([wandb, "leet", "inspect", str(log)], capture_output=True, text=True, check=True)
    texts = re.split(r"^# record .*$", done.stdout, flags=re.MULTILINE)[1:]
    return [text_format.Parse(text, Record(), allow_unknown_field=True) for text in texts]


def history(log: Path) -> list[dict[str, Any]]:
    """What was logged at each step, by name; the parts of a nested name are joined by dots."""
    return [values(record.history.item) for record in records(log) if record.HasField("history")]


def values(items: Any) -> dict[str, Any]:
    """What a list of items holds, in JSON, by name."""
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
