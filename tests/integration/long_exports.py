"""Every shipped config, trained on its miniature, predicts from each export as from its checkpoint: `make exports`.

It takes minutes, so `pytest` does not collect it, and tries one small model for each kind of inputs instead.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closeness import close
from in_process import InProcess
from test_configs import cases, small_model, trained  # noqa: F401 - fixtures

import mtl_lightning
from mtl_lightning.export.samples import samples
from mtl_lightning.inputs.tables import TableInputs
from mtl_lightning.rows.columns import Inputs
from mtl_lightning.training.from_checkpoint import data_of

WRITING = ("generation",)
"""Configs of which no task predicts without torch."""

UNNAMED = ("few_shot",)
"""Configs whose classes are those of an episode: no input has a prediction."""

OF_LINES = 1.01e-4
"""What numbers of a line may differ by: normals have four decimals, the last of which rounding may change."""


def rows_of(inputs: Inputs, plain: Any) -> list[dict[str, Any]]:
    """Made-up rows of a data set with such inputs, and one without values."""
    made, rows = samples(plain, inputs, (3, 1, 6)), [dict[str, Any]() for _ in range(3)]
    if "sound" in made:  # the part that is all of it
        made |= {"sound_start": [0] * 3, "sound_length": [len(sound) for sound in made["sound"]]}
    for name, columns in inputs.items():
        for row, value in zip(rows, made[name], strict=True):
            row |= dict(zip(columns, value, strict=False)) if isinstance(columns, list) else {columns: value}
    return [*rows, dict.fromkeys(rows[0])]


@pytest.mark.parametrize(("name", "kind"), [case for case in cases() if case[1] != "real"])
def test_exports_predict_as_the_checkpoint(
    name: str,
    kind: str,
    trained: Any,  # noqa: F811
    forked: Any,
    tmp_path: Path,
) -> None:
    checkpoint = trained(name, kind).checkpoint

    def run(*arguments: str) -> Any:
        return forked(*arguments, cwd=tmp_path)

    for form in ("torch", "onnx", "huggingface"):
        done = run("export", "--ckpt_path", str(checkpoint), "--format", form, "--output", form)
        said = done.stderr.strip().splitlines()[-1:]
        refused = done.returncode == 2 and said[0].startswith("error: ")
        assert done.returncode == 0 or (refused and (form == "huggingface" or name in WRITING + UNNAMED)), said
    plain = mtl_lightning.load(checkpoint).encoder.processor.plain
    for number, source in enumerate(data_of(checkpoint, (), "").datasets.values()):
        if not set(source.inputs) <= set(plain.inputs):
            continue
        (tmp_path / f"{number}.jsonl").write_text(
            "".join(json.dumps(row, default=np.ndarray.tolist) + "\n" for row in rows_of(source.inputs, plain))
        )
        found = {}
        for flags in (["--ckpt_path", str(checkpoint)], ["--ckpt_path", "torch"], ["--model", "onnx"]):
            if (tmp_path / flags[1]).exists():
                done = run("predict", *flags, "--input", f"{number}.jsonl")
                if name in UNNAMED:
                    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("error: ")
                    return
                assert done.returncode == 0, done.stderr
                found[flags[1]] = [json.loads(line) for line in done.stdout.splitlines()]
        wanted = found.pop(str(checkpoint))
        may_be_empty = isinstance(plain, TableInputs)  # its values may be missing
        assert wanted[0]["predictions"] and (may_be_empty or wanted[-1]["predictions"] is None)
        assert all(close(lines, wanted, OF_LINES) for lines in found.values())
        if (tmp_path / "onnx").exists():
            server = InProcess(tmp_path / "onnx", batch_size=8, batch_wait=0.0)
            columns = {name: of for name, of in source.inputs.items() if isinstance(of, str)}
            if len(columns) == len(source.inputs):
                asked = [{name: line[of] for name, of in columns.items()} for line in wanted[:-1]]
                served = server.predict(inputs=asked).json()["predictions"]
                assert close(served, [line["predictions"] for line in wanted[:-1]], OF_LINES)
