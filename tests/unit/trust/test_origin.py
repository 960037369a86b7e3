"""Whose a checkpoint is: signed with a secret that only the user has."""

import os
from copy import deepcopy
from threading import Barrier, Thread

import pytest

from mtl_lightning.trust import origin
from mtl_lightning.trust.imports import Imports, place, places
from mtl_lightning.trust.origin import own_places, secret_file, signed

CONTENTS = {
    "config": {"model": {"weighting": {"class_path": "pytest.Own"}, "rate": float("nan")}, "data": {"sizes": (1, 2)}},
    "tasks": {"a": {"labels": ["x", "\udc80"], "weights": {1: 0.5}}},
    "assets": {"files": {}, "init_args": {}},
    "metrics": {"val/average": 1.0},
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_what_the_user_wrote_is_his_and_says_where_the_packages_were():
    assert own_places(signed(CONTENTS)) == {"pytest": pytest.__file__}
    assert secret_file().stat().st_mode & 0o777 == 0o600


def test_packages_that_are_not_imported_again_stay_where_they_were():
    known = {"mine": "/here/mine.py", "pytest": "/before/pytest.py"}
    assert own_places(signed(CONTENTS, known)) == {"mine": "/here/mine.py", "pytest": pytest.__file__}


def test_what_is_altered_is_nobodys():
    for key, value in {
        "config": {"model": {}},
        "tasks": {"a": {"labels": ["y"]}},
        "assets": {"files": {"config.json": "{}"}, "init_args": {}},
        "signature": {"places": {"mine": "/elsewhere/mine.py"}, "code": signed(CONTENTS)["signature"]["code"]},
    }.items():
        assert own_places({**signed(CONTENTS), key: value}) is None
    assert own_places({**signed(CONTENTS), "metrics": {}}) is not None
    keys = deepcopy(CONTENTS)
    keys["tasks"]["a"]["weights"] = {"1": 0.5}
    assert own_places({**keys, "signature": signed(CONTENTS)["signature"]}) is None


@pytest.mark.parametrize(
    "signature",
    [None, "x", {}, {"places": 1, "code": "x"}, {"places": {}, "code": 3}, {"places": {}, "code": "\udc80"}],
)
def test_no_or_a_broken_signature_is_nobodys(signature):
    signed(CONTENTS)
    assert own_places(CONTENTS if signature is None else {**CONTENTS, "signature": signature}) is None


def test_another_user_wrote_it():
    theirs = signed(CONTENTS)
    secret_file().unlink()
    assert own_places(theirs) is None
    signed(CONTENTS)
    assert own_places(theirs) is None


def test_a_secret_that_others_can_read_counts_for_nothing():
    found = signed(CONTENTS)
    secret_file().chmod(0o640)
    assert own_places(found) is None
    assert "signature" not in signed(CONTENTS)


def test_without_a_home_directory_no_file_of_the_working_directory_is_the_secret(monkeypatch, tmp_path):
    found = signed(CONTENTS)
    (tmp_path / "mtl_lightning").mkdir()
    (tmp_path / "mtl_lightning" / "secret").write_bytes(secret_file().read_bytes())
    (tmp_path / "mtl_lightning" / "secret").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", ".")
    assert own_places(found) is None and "signature" not in signed(CONTENTS)


def test_where_no_secret_can_be_written_there_is_no_signature(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert signed(CONTENTS) == CONTENTS


def test_processes_that_start_at_once_share_one_secret():
    together, secrets = Barrier(8), []

    def make():
        together.wait()
        secrets.append(origin._secret())

    threads = [Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(secrets) == 8 and len(set(secrets)) == 1 and None not in secrets
    assert os.listdir(secret_file().parent) == ["secret"]


def test_a_file_system_without_links_will_do(monkeypatch):
    def no_link(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", no_link)
    assert own_places(signed(CONTENTS)) is not None and os.listdir(secret_file().parent) == ["secret"]


def test_own_configurations_import_anything():
    assert Imports().refusal("anything.at.All") is None


def test_a_checkpoint_of_somebody_else_imports_what_is_known_or_trusted():
    imports = Imports("x.ckpt", None, ["mine.Own", " pack "])
    for path in ("torch.optim.SGD", "mtl_lightning.tasks.Regression", "mine.Own", "mine.Own.made", "pack.deep.Own"):
        assert imports.refusal(path) is None
    for path in (
        "torch.testing._internal.common_utils.TestCase",
        "mtl_lightning.__main__.main",
        "mine.Other",
        "mine",
        "mine.Owner",
        "package.Own",
        "torchvision.X",
        "os.system",
    ):
        assert f"--trust_classes {path}" in imports.refusal(path)


def test_a_known_package_is_no_way_round_to_what_it_imports():
    assert "by a roundabout way" in Imports("x.ckpt").refusal_of_origin("torch.os.system", os.system)


def test_a_module_beside_a_checkpoint_does_not_take_the_place_of_the_users(tmp_path, monkeypatch):
    for folder in ("home", "zip"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine_at_home.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "home")
    then = {"mine_at_home": place("mine_at_home")}
    assert then["mine_at_home"] == str(tmp_path / "home" / "mine_at_home.py")
    assert Imports("x.ckpt", then).refusal("mine_at_home.Own") is None
    monkeypatch.syspath_prepend(tmp_path / "zip")
    said = Imports("x.ckpt", then).refusal("mine_at_home.Own")
    assert f"was {tmp_path / 'home' / 'mine_at_home.py'} then and is {tmp_path / 'zip' / 'mine_at_home.py'} now" in said
    assert "was not there then" in Imports("x.ckpt", then).refusal("another.Own")


def test_places_are_those_of_packages_that_are_imported():
    assert places({"a": ["pytest.x", {"b": "not_there.x"}, "word", 3]}) == {"pytest": pytest.__file__}
    assert place("no_such_module") == ""
