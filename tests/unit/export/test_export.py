"""The command ``export`` and its folders, tried with the format of torch."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from exporting import checkpoint, encoder, export

import mtl_lightning
from mtl_lightning import manifest
from mtl_lightning.__main__ import main
from mtl_lightning.errors import UserError
from mtl_lightning.export.folder import new_export
from mtl_lightning.training.module import MultiTaskModule

TEXTS = {"text": ["so good", "not my taste at all"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: Any) -> MultiTaskModule:
    path: Path = tmp_path_factory.mktemp("torch") / "model.ckpt"
    made = checkpoint(path, {})
    assert main(["export", "--ckpt_path", str(path), "--format", "torch", "--output", str(path.with_name("out"))]) == 0
    made.path = path.with_name("out")  # type: ignore[assignment]
    return made


@pytest.fixture
def folder(model: MultiTaskModule) -> Path:
    return model.path  # type: ignore[return-value]


def test_an_exported_model_predicts_as_its_checkpoint(model: MultiTaskModule, folder: Path) -> None:
    loaded = mtl_lightning.load(folder)
    assert loaded.predict(TEXTS) == model.predict(TEXTS)
    state = model.state_dict()
    assert all(torch.equal(v, state[n]) for n, v in loaded.state_dict().items() if isinstance(v, torch.Tensor))
    assert loaded.config == model.config and loaded.config_is_own


def test_no_file_of_an_export_is_a_pickle(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assets = {f"assets/{name}" for name in ("config.json", "tokenizer.json", "tokenizer_config.json")}
    assert names == {"model.safetensors", "model.yaml", "export.json", *assets}


def test_some_tasks_alone(model: MultiTaskModule, folder: Path, tmp_path: Path) -> None:
    export("--ckpt_path", str(folder), "--format=torch", "--tasks=tags,mood", "--output", str(tmp_path / "two"))
    loaded = mtl_lightning.load(tmp_path / "two")
    assert list(loaded.tasks) == ["tags", "mood"]
    assert loaded.predict(TEXTS, tasks=["mood"]) == model.predict(TEXTS, tasks=["mood"])


@pytest.mark.parametrize("sharing", ["PreferenceFiLM", {"class_path": "PreferenceFiLM", "init_args": {"width": 8}}])
def test_a_model_of_all_preferences_is_exported_with_one(
    sharing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = str(tmp_path / "model.ckpt"), str(tmp_path / "out")
    made = checkpoint(tmp_path / "model.ckpt", {"sharing": sharing})
    export("--ckpt_path", path, "--format=torch", "--preference={mood: 3, tags: 1}", "--output", out)
    loaded: Any = mtl_lightning.load(out)
    assert loaded.sharing.asked.tolist() == [0.75, 0, 0, 0.25]
    assert loaded.predict(TEXTS) != made.predict(TEXTS)
    made.sharing.ask({"mood": 3, "tags": 1})
    assert loaded.predict(TEXTS) == made.predict(TEXTS)
    for given, said in (("{mod: 1}", "names the unknown task 'mod'"), ("mood", "--preference: give a number for each")):
        assert said in export(
            "--ckpt_path", path, "--format=torch", f"--preference={given}", "--output", out, capsys=capsys
        )


def test_what_is_there_is_replaced_if_it_is_an_export(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "out"
    for number in range(2):
        with new_export(path, "test") as new:
            (new / f"{number}.txt").write_text("x")
    assert {each.name for each in path.iterdir()} == {"1.txt", manifest.NAME} and len(list(tmp_path.iterdir())) == 1
    (path / "notes.md").write_text("mine")
    with pytest.raises(UserError, match=r"beside an export, .* holds notes\.md"), new_export(path, "test"):
        pass
    (path / manifest.NAME).unlink()
    with pytest.raises(UserError, match="is not empty, and no export"), new_export(path, "test"):
        pass
    assert (path / "notes.md").read_text() == "mine"


def test_two_exports_at_once_do_not_mix(tmp_path: Path) -> None:
    def second() -> None:
        with new_export(tmp_path / "out", "test"):
            pass

    with new_export(tmp_path / "out", "test") as new:
        (new / "file").write_text("first")
        with pytest.raises(UserError, match="another export is writing to"):
            second()
    assert (tmp_path / "out" / "file").read_text() == "first"
    second()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    with new_export(tmp_path / "out", "test") as new:
        (new / "file").write_text("first")

    def fail() -> None:
        with new_export(tmp_path / "out", "test") as new:
            (new / "file").write_text("second")
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        fail()
    assert (tmp_path / "out" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def _change(folder: Path) -> None:
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("so so", "soso"))


def _escape(folder: Path) -> None:
    found = json.loads((folder / manifest.NAME).read_text())
    found["files"]["../secret"] = "0"
    (folder / manifest.NAME).write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, r"model\.safetensors is not what was exported"),
        (_change, r"model\.yaml is not what was exported"),
        (lambda folder: (folder / "assets" / "tokenizer.json").unlink(), "lacks assets/tokenizer.json"),
        (_escape, r"lacks \.\./secret"),
    ],
    ids=["cut", "changed", "missing", "outside"],
)
def test_a_damaged_folder_is_refused(folder: Path, tmp_path: Path, damage: Any, said: str) -> None:
    shutil.copytree(folder, tmp_path / "out")
    (tmp_path / "secret").write_text("")
    damage(tmp_path / "out")
    with pytest.raises(UserError, match=said):
        mtl_lightning.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format=torhc"], "unknown format 'torhc'; did you mean 'torch'"),
        (["--format=torch", "--license=mit"], "--license is an option of `--format huggingface`"),
        (["--format=torch", "--tasks=moody"], "unknown task 'moody'; did you mean 'mood'"),
        (["--format=torch", "--tasks=,"], "--tasks: no task is named"),
        (["--format=torch", "--preference={mood: 1}"], "--preference: HardSharing cannot be told what to prefer"),
        (["--format=torch", "--outptu=x"], "unrecognized arguments: --outptu=x"),
        (["--format=torch", "--output=https://x.y"], "--output: name a local folder"),
        ([], "the following arguments are required: --format"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = export("--ckpt_path", str(folder), "--output", str(tmp_path / "out"), *options, capsys=capsys)
    assert said in line and not list(tmp_path.iterdir())


def test_the_help_names_all_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    text = capsys.readouterr().out
    assert "torch: weights" in text and "huggingface: a model" in text and "--push_to_hub" in text


def test_state_of_a_weighting_and_tied_tensors_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = checkpoint(tmp_path / "a.ckpt", {"weighting": "FAMO", "encoder": encoder(pooling="cls")})
    export("--ckpt_path", str(tmp_path / "a.ckpt"), "--format=torch", "--output", str(tmp_path / "out"))
    loaded = mtl_lightning.load(tmp_path / "out")
    ours, theirs = (model.weighting.get_extra_state() for model in (made, loaded))
    assert ours.keys() == theirs.keys() and str(ours) == str(theirs)
