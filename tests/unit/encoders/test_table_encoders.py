"""Encoders of tables: what they learn, and that a checkpoint suffices."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_lightning import load
from mtl_lightning.__main__ import main
from mtl_lightning.encoders import TablePerceptron
from mtl_lightning.encoders.tables.base import TableEncoder
from mtl_lightning.errors import UserError
from tests import tiny
from tests.tables import KINDS, ROWS, complete


@pytest.mark.parametrize("name", KINDS)
def test_an_order_of_columns_matters_and_a_missing_number_is_no_zero(name: str) -> None:
    torch.manual_seed(0)
    encoder = complete(name).eval()

    def features(numeric: Any, categorical: Any) -> torch.Tensor:
        encoded = encoder.processor.encode({"numeric": [numeric], "categorical": [categorical]})
        pooled = encoder(encoder.processor.collate([{key: rows[0] for key, rows in encoded.items()}])).pooled
        assert pooled is not None
        return pooled

    mean = encoder.processor.plain.statistics.means
    assert not torch.allclose(features(mean, ("a", 1)), features((mean[0], None), ("a", 1)))
    assert not torch.allclose(features(mean, ("a", 1)), features(mean, (None, 1)))
    assert not torch.allclose(features(mean, (None, 1)), features(mean, ("unseen", 1)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_count": 0}, "min_count"),
        ({"hash_buckets": -1}, "hash_buckets"),
        ({"max_categories": 0}, "max_categories"),
        ({"hidden": [3]}, "two layer widths"),
    ],
)
def test_settings_that_cannot_be(settings: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        TablePerceptron(**settings)


def test_what_another_encoder_has_learnt_is_taken() -> None:
    encoder, other = complete("TablePerceptron"), TablePerceptron([6, 5], 3)
    files = encoder.assets().files
    assert not other.take_learnt({"tokenizer.json": "{}"}) and not other.is_complete
    assert other.take_learnt(files)
    other.complete()
    assert other.reads_differently(files) is None
    [(name, text)] = files.items()
    found = json.loads(text)
    found["vocabularies"][0].reverse()
    assert "other categories" in str(encoder.reads_differently({name: json.dumps(found)}))


class Pooled(torch.nn.Module):
    def __init__(self, encoder: TableEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        pooled = self.encoder(inputs).pooled
        assert pooled is not None
        return pooled


@pytest.mark.parametrize("name", KINDS)
def test_a_graph_takes_any_number_of_rows(name: str) -> None:
    encoder = complete(name).eval()
    inputs, more = (
        encoder.processor.collate([dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)])
        for found in (encoder.processor.encode({key: rows * n for key, rows in ROWS.items()}) for n in (1, 3))
    )
    shapes = ({key: {0: torch.export.Dim.AUTO} for key in inputs},)
    program = torch.export.export(Pooled(encoder), (inputs,), dynamic_shapes=shapes)
    torch.testing.assert_close(program.module()(more), encoder(more).pooled)


def config(name: str, **model: Any) -> dict[str, Any]:
    source = {"inputs": {"numeric": "age", "categorical": ["city"]}, "labels": {"cls": "late", "reg": "fee"}}
    files = tiny.CONFIG["data"]["datasets"]["d"]["init_args"]["files"]
    data = {"datasets": {"d": {"class_path": "FileSource", "init_args": {"files": files, **source}}}}
    encoder = {"class_path": name, "init_args": KINDS[name]}
    return tiny.CONFIG | {
        "model": {**tiny.CONFIG["model"], "encoder": encoder, **model},
        "data": {**data, "batch_size": 5},
    }


def write_data(folder: Path, cities: str = "uvw") -> None:
    rows = [{"age": i % 7 or None, "city": cities[i % 3], "late": i % 3 == 1, "fee": i % 7} for i in range(30)]
    for split in ("train", "val"):
        tiny.write_rows(folder / f"{split}.jsonl", rows)


@pytest.mark.parametrize("name", KINDS)
def test_a_checkpoint_suffices_to_predict_and_to_go_on(
    name: str, tmp_path: Path, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write_data(tmp_path)
    with tiny.whole_run(tmp_path, config(name)):
        tiny.interrupted()
        assert tiny.check_same_states()
        learnt = load("whole/checkpoints/last.ckpt").encoder.assets()
        write_data(tmp_path, "wxy")
        assert tiny.fit("other", "--init_from=whole/checkpoints/last.ckpt") == 0
        assert main(["fit", "--ckpt_path=whole", "--trainer.max_epochs=3"]) == 0
        for run in ("other", "whole"):
            assert load(f"{run}/checkpoints/last.ckpt").encoder.assets() == learnt
        (tmp_path / "train.jsonl").unlink()
        tiny.write_rows(
            Path("new.jsonl"), [{"age": None, "city": "u"}, {"age": 3, "city": "?"}, {"age": "x", "city": "u"}]
        )
        capfd.readouterr()
        assert main(["predict", "--ckpt_path", "whole", "--input", "new.jsonl"]) == 0
        *good, bad = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        assert "'city': 1 of 2 values are categories that the model did not learn; the first: new.jsonl" in caplog.text
        assert all(set(line["predictions"]) == {"cls", "reg"} for line in good)
        assert "column 'age': input 'numeric' must be a number" in bad["reason"]


@pytest.mark.parametrize("sharing", ["SeparateEncoders", "CrossStitch", "MMoE"])
def test_copies_of_an_encoder_start_from_the_same_parameters(sharing: str, tmp_path: Path) -> None:
    write_data(tmp_path)
    still = {"optimizer": {"class_path": "SGD", "init_args": {"lr": 0.0}}}
    with tiny.whole_run(tmp_path, config("TablePerceptron", sharing=sharing, **still)):
        model = load("whole/checkpoints/last.ckpt")
        first, *others = [module for module in model.modules() if isinstance(module, TableEncoder)]
        assert others or sharing == "MMoE"
        for other in others:
            assert all(map(torch.equal, first.state_dict().values(), other.state_dict().values()))
