"""What a checkpoint that somebody else may have written does to the commands, and to `load`."""

import sys
from pathlib import Path

import pytest
import tiny
import torch

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.trust.imports import Imports
from mtl_lightning.trust.origin import own_places, signed

MINE = """
from mtl_lightning.weighting import EqualWeighting


class Own(EqualWeighting):
    pass
"""
SYSTEM = {"class_path": "os.system", "init_args": {"command": "touch pwned"}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs, one of them with a class of the user's own."""
    folder = tmp_path_factory.mktemp("runs")
    tiny.write(folder)
    (folder / "mine_own.py").write_text(MINE)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert tiny.fit("plain", "--evaluate=none", "--trainer.max_epochs=1") == 0
        assert tiny.fit("own", "--evaluate=none", "--trainer.max_epochs=1", "--model.weighting=mine_own.Own") == 0
    return folder


@pytest.fixture(autouse=True)
def in_folder(runs, monkeypatch):
    monkeypatch.chdir(runs)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(runs)])
    monkeypatch.delitem(sys.modules, "mine_own", raising=False)
    yield
    assert not Path("pwned").exists()


def altered(run: str, key: str = "", value: object = None, signed: bool = False) -> str:
    """A checkpoint with another value in its configuration; without the user's signature."""
    checkpoint = torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True)
    ours = checkpoint["mtl_lightning"]
    if not signed:
        del ours["signature"]
    *path, last = ["config", *key.split(".")]
    node = ours
    for part in path:
        node = node[part]
    if key:
        node[last] = value
    torch.save(checkpoint, "altered.ckpt")
    return "altered.ckpt"


def said(capsys) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
@pytest.mark.parametrize(
    ("key", "value"),
    {
        "model.weighting": SYSTEM,
        "model.encoder": SYSTEM,
        "model.tasks.cls": SYSTEM,
        "data.datasets.d": {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", "pwned"]}},
        "data.schedule": {"class_path": "torch.os.system", "init_args": {"command": "touch pwned"}},
    }.items(),
)
def test_no_command_runs_what_a_checkpoint_names(command, key, value, capsys):
    assert main([command, "--ckpt_path", altered("plain", key, value)]) == 2
    assert "may not" in said(capsys)


@pytest.mark.parametrize("key", ["trainer.callbacks", "trainer.logger", "model.optimizer", "model.lr_scheduler"])
def test_nor_does_a_resumed_run(key, capsys):
    assert main(["fit", "--ckpt_path", altered("plain", key, [SYSTEM] if "callbacks" in key else SYSTEM)]) == 2
    assert "may not stand here" in said(capsys)


def test_what_lightning_itself_would_take_is_left_alone(capsys):
    checkpoint = torch.load("plain/checkpoints/last.ckpt", weights_only=True)
    checkpoint["hyper_parameters"] = {"weighting": SYSTEM, "head_lr_factor": 3.0, "_instantiator": "os.system"}
    torch.save(checkpoint, "altered.ckpt")
    options = ["--config", "config.yaml", "--trainer.max_epochs=2", "--trainer.default_root_dir=resumed"]
    assert main(["fit", *options, "--ckpt_path=altered.ckpt", "--evaluate=none"]) == 0
    config = torch.load("resumed/checkpoints/last.ckpt", weights_only=True)["mtl_lightning"]["config"]
    assert config["model"]["head_lr_factor"] == 1.0


def test_own_classes_need_no_flag_in_own_checkpoints():
    assert main(["test", "--ckpt_path=own"]) == 0
    assert type(mtl_lightning.load("own/checkpoints/last.ckpt").weighting).__name__ == "Own"


def test_own_classes_in_an_unsigned_checkpoint_are_refused_before_they_are_imported(capsys, monkeypatch):
    path = altered("own")
    assert main(["test", "--ckpt_path", path]) == 2
    line = said(capsys)
    assert "`model.weighting`: 'mine_own.Own' may not be imported: altered.ckpt carries no signature" in line
    assert line.endswith("--trust_classes mine_own.Own") and "mine_own" not in sys.modules
    with pytest.raises(mtl_lightning.UserError, match=r"trust_classes=\['mine_own.Own'\]"):
        mtl_lightning.load(path)
    assert main(["test", "--ckpt_path", path, "--trust_classes=mine_own"]) == 0
    assert main(["test", "--ckpt_path", path, "--model.weighting=mine_own.Own"]) == 0
    monkeypatch.setenv("MTL_TRUST_CLASSES", "other,mine_own.Own")
    assert main(["test", "--ckpt_path", path]) == 0
    for trusted in (["mine_own"], "other,mine_own.Own"):
        assert type(mtl_lightning.load(path, trust_classes=trusted).weighting).__name__ == "Own"


def test_trusting_a_name_does_not_make_it_fit(capsys):
    path = altered("plain", "model.weighting", SYSTEM)
    assert main(["test", "--ckpt_path", path, "--trust_classes=os.system"]) == 2
    assert "'os.system' may not stand here: it is no Weighting" in said(capsys)


def test_a_checkpoint_that_is_called_like_a_class_is_not_trusted_for_it(capsys):
    Path(altered("own")).rename("mine_own.Own")
    assert main(["test", "--ckpt_path=mine_own.Own"]) == 2
    assert "'mine_own.Own' may not be imported" in said(capsys)


def test_no_configuration_trusts_itself(capsys, monkeypatch):
    path = altered("own", "trust_classes", ["mine_own"])
    assert main(["fit", "--ckpt_path", path]) == 2
    assert "'mine_own.Own' may not be imported" in said(capsys)
    assert main(["fit", "--ckpt_path", altered("plain", "trust_classes", ["mine_own"])]) == 2
    assert said(capsys).startswith("error: trust_classes cannot be set in a configuration")


def test_a_module_of_the_same_name_beside_a_copied_checkpoint_is_not_imported(capsys, tmp_path, monkeypatch):
    copy = tmp_path / "copied.ckpt"
    copy.write_bytes(Path("own/checkpoints/last.ckpt").read_bytes())
    monkeypatch.chdir(tmp_path)
    Path("mine_own.py").write_text("open('pwned', 'w')")
    assert main(["test", "--ckpt_path=copied.ckpt"]) == 2
    assert "written by you, but 'mine_own' was" in said(capsys)
    assert str(tmp_path) not in sys.path


def test_an_unsigned_checkpoint_of_built_in_classes_needs_no_flag():
    assert main(["validate", "--ckpt_path", altered("plain")]) == 0
    assert mtl_lightning.load("altered.ckpt")


@pytest.mark.parametrize("name", ["optimizer", "lr_scheduler"])
def test_to_evaluate_no_optimizer_is_needed(name):
    path = altered("plain", f"model.{name}", {"class_path": "not_installed.Own", "init_args": {"lr": 1}})
    assert main(["test", "--ckpt_path", path]) == 0
    assert mtl_lightning.load(path)


def test_files_in_the_working_directory_hide_no_package(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    main(["validate", "--ckpt_path=own"])
    assert sys.path[-1] == str(Path.cwd()) and "" not in sys.path


@pytest.mark.parametrize("value", ["os.system", str(SYSTEM)])
def test_flags_and_files_are_held_to_the_same(value, capsys):
    assert main(["fit", "--config=config.yaml", f"--model.optimizer={value}"]) == 2
    assert said(capsys).startswith("error: flag --model.optimizer: 'os.system' may not stand here: it is no Optimizer")
    Path("evil.yaml").write_text(f"model:\n  optimizer: {value}\n")
    assert main(["fit", "--config=config.yaml", "--config=evil.yaml"]) == 2
    assert said(capsys).startswith("error: evil.yaml, line 2: `model.optimizer`: 'os.system' may not stand here")


@pytest.mark.parametrize(
    ("key", "value"),
    {
        "trainer.default_root_dir": "/elsewhere",
        "checkpoint.dirpath": "../elsewhere",
        "trainer.callbacks": [
            {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"dirpath": "~/elsewhere"}}
        ],
        "trainer.profiler": {
            "class_path": "lightning.pytorch.profilers.SimpleProfiler",
            "init_args": {"dirpath": "$HOME", "filename": "x"},
        },
        "trainer.logger": {
            "class_path": "lightning.pytorch.loggers.CSVLogger",
            "init_args": {"save_dir": "s3://elsewhere", "name": ""},
        },
        "json": "train.jsonl",
    }.items(),
)
def test_a_run_of_somebody_else_writes_only_here(key, value, capsys):
    assert main(["fit", "--ckpt_path", altered("plain", key, value)]) == 2
    line = said(capsys)
    assert "carries no signature of yours" in line and f"would have {key}" in line and "write to" in line


def test_what_the_user_names_himself_is_written(tmp_path):
    path = altered("plain", "trainer.default_root_dir", "/elsewhere")
    assert main(["fit", "--ckpt_path", path, f"--trainer.default_root_dir={tmp_path / 'here'}"]) == 0


def test_a_run_of_before_is_resumed_in_its_folder(tmp_path):
    run = tmp_path / "elsewhere"
    assert main(["fit", "--config=config.yaml", f"--trainer.default_root_dir={run}", "--trainer.max_epochs=1"]) == 0
    last = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    del checkpoint["mtl_lightning"]["signature"]
    torch.save(checkpoint, last)
    assert main(["fit", f"--ckpt_path={run}", "--trainer.max_epochs=2"]) == 0


@pytest.mark.parametrize("kind", ["BestCheckpoint", "ModelCheckpoint"])
def test_a_resumed_run_removes_no_file_outside_of_its_folder(kind, tmp_path):
    precious, run = tmp_path / "precious.ckpt", Path("plain").resolve()
    precious.touch()
    checkpoint = torch.load("plain/checkpoints/last.ckpt", weights_only=True)
    options = [f"--trainer.default_root_dir={tmp_path / 'resumed'}"]
    folder = tmp_path / "resumed" / "checkpoints"
    if kind == "ModelCheckpoint":
        folder = tmp_path / "kept"
        options += ["--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.monitor=val/average"]
        options += ["--trainer.callbacks.mode=max", f"--trainer.callbacks.dirpath={folder}"]
    folder.mkdir(parents=True)
    key, state = next((k, s) for k, s in checkpoint["callbacks"].items() if k.startswith("BestCheckpoint"))
    path = f"{folder}/{'../' * len(folder.parts)}{str(precious)[1:]}"
    worst = torch.tensor(-1e9)
    state = {**state, "best_k_models": {path: worst}, "kth_best_model_path": path, "best_model_path": path}
    state |= {"dirpath": str(folder), "best_model_score": worst, "kth_value": worst}
    if kind == "ModelCheckpoint":
        key = key_of_lightnings(options)
    checkpoint["callbacks"][key] = state
    torch.save(checkpoint, "altered.ckpt")
    assert main(["fit", "--config=config.yaml", "--ckpt_path=altered.ckpt", "--trainer.max_epochs=3", *options]) == 0
    assert precious.exists() and run.exists()


def key_of_lightnings(options):
    """The name of the state of a callback that a run with some options has."""
    run = "--trainer.default_root_dir=first"
    if not Path("first").exists():
        assert main(["fit", "--config=config.yaml", run, "--trainer.max_epochs=1", *options[1:]]) == 0
    states = torch.load("first/checkpoints/last.ckpt", weights_only=True)["callbacks"]
    return next(key for key in states if key.startswith("ModelCheckpoint"))


def test_a_configuration_that_makes_no_model_is_one_line():
    with pytest.raises(
        mtl_lightning.UserError, match=r"^the configuration in altered.ckpt: [^\n]*head_lr_factor[^\n]*$"
    ):
        mtl_lightning.load(altered("plain", "model.head_lr_factor", ["x"]))


def test_classes_of_a_session_are_the_users_own():
    """In a notebook or script, `__main__` is what the user runs."""
    contents = {"config": {"model": {"weighting": {"class_path": "__main__.Own"}}}, "tasks": {}, "assets": {}}
    found = own_places(signed(contents))
    assert found is not None and Imports("x.ckpt", found).refusal("__main__.Own") is None
    assert Imports("x.ckpt").refusal("__main__.Own")
