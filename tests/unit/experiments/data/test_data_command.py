"""``python -m experiments.data``: what it says, and that a data set is there whole or not at all."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import made_up_source
import pytest
from made_up_source import FILES, RESULTS, Server
from real_data import ROOT

from experiments.data import __main__ as command
from experiments.data.contents import content_sha256, gzipped, sha256
from experiments.data.lock import locked
from experiments.data.recipes import RECIPES
from mtl_lightning.errors import UserError

MADE_UP = Server("http://127.0.0.1:9/")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command where a checkout of the made-up source is at hand, unless ``with_recipe`` changes its recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTL_DATA", raising=False)
    for path, data in FILES.items():
        (tmp_path / "given" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "given" / path).write_bytes(data)

    def run(*arguments, **changes):
        monkeypatch.setitem(command.RECIPES, "invented", MADE_UP.recipe(**changes))
        status = command.main([*arguments])
        return status, *capsys.readouterr()

    return run


def error_of(result):
    status, _, errors = result
    assert status == 2 and errors.startswith("error: ") and errors.count("\n") == 1
    return errors


def test_the_list_says_what_each_is_its_size_licence_and_source(run):
    status, out, _ = run("list")
    assert status == 0
    for recipe in RECIPES.values():
        paragraph = re.search(rf"^{recipe.name}  .*?(?=\n\n|\Z)", out, re.S | re.M)[0]
        words = " ".join(paragraph.split())
        assert recipe.about in words and recipe.licence in words
        assert all(source.home in words for source in recipe.sources)
    assert run()[:2] == (0, out)


def test_an_unknown_name_is_refused_before_anything_is_done(run):
    assert "no data set 'snip'; did you mean 'snips'?" in error_of(run("invented", "snip", "--from", "given"))
    assert not Path("data").exists()


def test_an_unknown_option(run):
    assert "--form" in error_of(run("snips", "--form", "given"))


def test_without_options_it_writes_to_data(run):
    status, out, _ = run("invented", "--from", "given")
    assert status == 0 and "CC0" in out and "Nobody, 2026" in out
    assert made_up_source.contents(Path("data/invented")) == RESULTS


def test_mtl_data_names_another_folder(run, monkeypatch):
    monkeypatch.setenv("MTL_DATA", "elsewhere")
    run("invented", "--from", "given")
    assert made_up_source.contents(Path("elsewhere/invented")) == RESULTS and not Path("data").exists()


def test_a_complete_data_set_needs_no_source(run):
    run("invented", "--from", "given")
    before = {path: path.stat().st_mtime_ns for path in Path("data/invented").iterdir()}
    status, out, _ = run("invented")
    assert status == 0 and "complete already" in out
    assert before == {path: path.stat().st_mtime_ns for path in Path("data/invented").iterdir()}


def test_files_that_another_zlib_compressed_are_complete(run):
    run("invented", "--from", "given")
    other = gzipped(RESULTS["labels.txt.gz"])[:-8] + gzipped(RESULTS["labels.txt.gz"])[-8:]
    Path("data/invented/labels.txt.gz").write_bytes(other[:4] + b"\1\1\1\1" + other[8:])  # another time
    assert run("invented")[0] == 0


@pytest.mark.parametrize("change", [b"changed", b"", None])
@pytest.mark.parametrize("name", list(RESULTS))
def test_what_stands_in_its_place_is_never_overwritten(run, name, change):
    run("invented", "--from", "given")
    file = Path("data/invented", name)
    file.unlink() if change is None else file.write_bytes(change)
    assert "data/invented" in (said := error_of(run("invented", "--from", "given"))) and name in said
    assert "move" in said and (change is None or file.read_bytes() == change)


def test_a_conversion_that_fails_leaves_nothing_that_looks_complete(run):
    def convert(folder):
        yield "all.txt", RESULTS["all.txt"]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert "cannot write data/.invented.partial: No space" in error_of(
        run("invented", "--from", "given", convert=convert)
    )
    assert not [*Path("data").iterdir()]


def test_a_full_disk_is_one_line(run, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = error_of(run("invented", "--from", "given"))
    assert "cannot write data/.invented.partial: No space left on device; free some space" in said
    assert not Path("data/invented").exists()


def test_a_checkout_that_cannot_be_read_is_one_line(run, monkeypatch):
    def denied(self):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    said = error_of(run("invented", "--from", "given"))
    assert said == "error: cannot read given/texts/a.txt: Permission denied\n" and not Path("data/invented").exists()


def test_the_rest_of_a_killed_conversion_is_removed(run):
    Path("data/.invented.partial").mkdir(parents=True)
    Path("data/.invented.partial/old.txt").write_text("old")
    run("invented", "--from", "given")
    assert not Path("data/.invented.partial").exists() and not Path("data/invented/old.txt").exists()


def test_a_result_that_is_not_the_recipes_is_refused(run):
    said = error_of(run("invented", "--from", "given", files={"all.txt": sha256(b"other")}))
    assert "all.txt came out with SHA-256" in said and not Path("data/invented").exists()


def test_a_file_in_the_way(run):
    Path("data").write_text("")
    assert "data is a file, not a folder" in error_of(run("invented", "--from", "given"))


def test_two_commands_do_not_write_to_one_folder(run):
    with locked(Path("data")):
        assert "another run is writing to data; wait until it ends" in error_of(run("invented", "--from", "given"))


def test_ctrl_c_says_that_it_can_be_resumed(run):
    def convert(folder):
        raise KeyboardInterrupt
        yield

    status, _, errors = run("invented", "--from", "given", convert=convert)
    assert status == 130 and "run the same command again to resume" in errors


def test_an_empty_folder_is_no_data_set(run):
    Path("data/invented").mkdir(parents=True)
    assert run("invented", "--from", "given")[0] == 0
    assert made_up_source.contents(Path("data/invented")) == RESULTS


def test_a_link_to_a_data_set_is_one(run):
    run("invented", "--from", "given", "--to", "elsewhere")
    Path("data").mkdir()
    Path("data/invented").symlink_to("../elsewhere/invented")
    assert "complete already" in run("invented")[1]


@pytest.mark.parametrize("place", ["data", "data/invented"])
def test_a_link_to_nowhere_in_the_way_is_one_line(run, place):
    Path(place).parent.mkdir(exist_ok=True)
    Path(place).symlink_to("nowhere")
    assert place in error_of(run("invented", "--from", "given")) and Path(place).is_symlink()


def test_a_data_set_that_cannot_be_made_keeps_no_other_from_being_made(run, monkeypatch):
    monkeypatch.setitem(command.RECIPES, "broken", MADE_UP.recipe(name="broken", files={"all.txt": sha256(b"other")}))
    assert "broken: all.txt came out" in error_of(run("broken", "invented", "--from", "given"))
    assert made_up_source.contents(Path("data/invented")) == RESULTS and not Path("data/broken").exists()


def test_as_a_command_it_does_without_torch_and_lightning():
    code = "import sys, experiments.data.__main__; assert not {'torch', 'lightning', 'pooch'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_damaged_gzip_file_has_no_content():
    with pytest.raises(OSError, match="gzip"):
        content_sha256("a.gz", b"text")


def test_a_lock_is_given_back(tmp_path):
    for _ in range(2):
        with pytest.raises(UserError, match="mine"), locked(tmp_path):
            raise UserError("mine")
