"""Sources are downloaded once, resumed where they broke off, and checked; what goes wrong is one line."""

import builtins

import made_up_source
import pytest
from made_up_source import FILES, RESULTS

from experiments.data.command import DOWNLOADS, make
from mtl_lightning.errors import UserError

LARGE = "texts/a.txt"


@pytest.fixture
def server():
    with made_up_source.serving() as server:
        yield server


def downloads(folder):
    root = folder / DOWNLOADS / "made-up"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_data_set_is_downloaded_and_converted(server, tmp_path, capsys):
    make(server.recipe(), tmp_path, None)
    folder = tmp_path / "invented"
    assert made_up_source.contents(folder) == RESULTS
    assert "Nobody, 2026" in (folder / "README.md").read_text()
    assert "Nobody, 2026" in capsys.readouterr().out
    assert not [*tmp_path.glob(".*partial")]


def test_what_was_downloaded_is_not_downloaded_again(server, tmp_path):
    server.status["labels.txt"] = 503
    with pytest.raises(UserError, match=r"labels\.txt: the server answers 503 .*run the same command again to resume"):
        make(server.recipe(), tmp_path, None)
    assert downloads(tmp_path) == {LARGE} and not (tmp_path / "invented").exists()
    server.status.clear()
    make(server.recipe(), tmp_path, None)
    assert server.asked.count((LARGE, None)) == 1 and server.asked[-1] == ("labels.txt", None)


def test_a_download_that_broke_off_is_resumed(server, tmp_path):
    server.breaks_off_after[LARGE] = 70_000
    with pytest.raises(UserError, match="the download broke off"):
        make(server.recipe(), tmp_path, None)
    assert downloads(tmp_path) == {f"{LARGE}.partial"}
    server.breaks_off_after.clear()
    make(server.recipe(), tmp_path, None)
    path, wanted = server.asked[1]
    assert path == LARGE and wanted == "bytes=65536-"
    assert made_up_source.contents(tmp_path / "invented")["all.txt"] == RESULTS["all.txt"]


@pytest.mark.parametrize("beginning", [b"other" * 100, FILES[LARGE], FILES[LARGE] + b"more"])
@pytest.mark.parametrize("without_ranges", [False, True])
def test_whatever_a_partial_file_holds_the_result_is_right(server, tmp_path, beginning, without_ranges):
    partial = tmp_path / DOWNLOADS / "made-up" / f"{LARGE}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(beginning)
    server.without_ranges = without_ranges
    make(server.recipe(), tmp_path, None)
    assert made_up_source.contents(tmp_path / "invented")["all.txt"] == RESULTS["all.txt"]


def test_a_file_of_another_content_is_refused_and_not_kept(server, tmp_path):
    server.files[LARGE] = b"changed"
    expected = (
        rf"{server.base}{LARGE} has SHA-256 .*…, not .*…: it is not the file of revision 0123abcd.*git clone made-up"
    )
    with pytest.raises(UserError, match=expected):
        make(server.recipe(), tmp_path, None)
    assert downloads(tmp_path) == set() and not (tmp_path / "invented").exists()


def test_a_downloaded_file_that_was_changed_is_downloaded_again(server, tmp_path):
    kept = tmp_path / DOWNLOADS / "made-up" / LARGE
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"changed")
    make(server.recipe(), tmp_path, None)
    assert kept.read_bytes() == FILES[LARGE]


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.busy = 2
    make(server.recipe(), tmp_path, None)
    assert server.asked == [*[(LARGE, None)] * 3, ("labels.txt", None)]


def test_a_server_that_stays_busy_is_one_line(server, tmp_path):
    server.busy = 99
    with pytest.raises(UserError, match=r"the server answers 429 Too Many Requests; .*run the same command again"):
        make(server.recipe(), tmp_path, None)
    assert len(server.asked) == 5


def test_a_source_that_is_gone_is_one_line(server, tmp_path):
    del server.files["labels.txt"]
    with pytest.raises(UserError, match=r"labels\.txt: the server answers 404 .*`git clone made-up`"):
        make(server.recipe(), tmp_path, None)


def test_a_server_that_is_not_there_is_one_line(server, tmp_path):
    nobody = server.source(base="http://127.0.0.1:9/")
    with pytest.raises(
        UserError, match=r"no connection to the server \(Connection refused\).*--from: `git clone made-up`"
    ):
        make(server.recipe(sources=(nobody,)), tmp_path, None)


def test_without_pooch_it_says_what_to_install(server, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments):
        if name == "pooch":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"`pip install pooch`.*or name a checkout with --from"):
        make(server.recipe(), tmp_path, None)
