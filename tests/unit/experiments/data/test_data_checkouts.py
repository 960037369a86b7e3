"""``--from``: a checkout instead of the network; one of another revision is refused."""

import io
import tarfile

import made_up_source
import pytest
from made_up_source import FILES, RESULTS, Server

from experiments.data.checkouts import checkout
from experiments.data.command import make
from experiments.data.contents import sha256
from experiments.data.sources import github, pypi
from mtl_lightning.errors import UserError

MADE_UP = Server("http://127.0.0.1:9/")


def lay(folder, files=FILES):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.mark.parametrize("inside", ["", "made-up"])
def test_a_checkout_or_a_folder_of_checkouts(tmp_path, inside):
    lay(tmp_path / "given" / inside)
    make(MADE_UP.recipe(), tmp_path / "data", tmp_path / "given")
    assert made_up_source.contents(tmp_path / "data" / "invented") == RESULTS
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"invented"}


def test_another_revision_names_the_file_that_differs(tmp_path):
    given = lay(tmp_path / "given", {**FILES, "labels.txt": b"x\nz\n"})
    expected = r"given/labels\.txt differs from that of somebody/made-up at 0123abcd .* by `git clone made-up`"
    with pytest.raises(UserError, match=expected):
        make(MADE_UP.recipe(), tmp_path / "data", given)
    assert not (tmp_path / "data" / "invented").exists()


def test_a_folder_without_the_files(tmp_path):
    given = lay(tmp_path / "given", {"labels.txt": FILES["labels.txt"]})
    with pytest.raises(UserError, match=r"no file texts/a\.txt of somebody/made-up .* folder made-up there.*git clone"):
        make(MADE_UP.recipe(), tmp_path / "data", given)


def test_no_such_folder(tmp_path):
    with pytest.raises(UserError, match=r"--from .*nowhere: there is no such folder; make it by `git clone made-up`"):
        checkout(MADE_UP.source(), tmp_path / "nowhere", tmp_path)


def test_each_source_gets_its_folder(tmp_path):
    def convert(first, second):
        yield "all.txt", (first / "labels.txt").read_bytes() + (second / "labels.txt").read_bytes()

    sources = tuple(
        MADE_UP.source(name=name, files={"labels.txt": sha256(text)}) for name, text in (("one", b"1"), ("two", b"2"))
    )
    for name, text in (("one", b"1"), ("two", b"2")):
        lay(tmp_path / "given" / name, {"labels.txt": text})
    recipe = MADE_UP.recipe(sources=sources, convert=convert, files={"all.txt": sha256(b"12")})
    make(recipe, tmp_path, tmp_path / "given")
    assert (tmp_path / "invented" / "all.txt").read_bytes() == b"12"


def test_github_names_the_commit():
    source = github("somebody/made-up", "0123456789abcdef", {"a.txt": "0" * 64})
    assert source.base == "https://raw.githubusercontent.com/somebody/made-up/0123456789abcdef/"
    assert source.obtain.endswith("git -C made-up checkout 0123456789ab")
    assert source.downloads == {"a.txt": "0" * 64}


def archive_of(files, root):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(f"{root}/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def package():
    """A server of a source distribution, and the recipe that needs it."""
    data = archive_of({**FILES, "setup.py": b""}, "made_up-1.0")
    files = {path: sha256(content) for path, content in FILES.items()}
    source = pypi("made_up", "1.0", sha256(data), files)
    with made_up_source.serving() as server:
        server.files["made_up-1.0.tar.gz"] = data
        there = server.source(name=source.name, archive=source.archive, files=source.files)
        yield server, server.recipe(sources=(there,)), data


def test_a_source_distribution_is_downloaded_and_unpacked(package, tmp_path):
    server, recipe, _ = package
    make(recipe, tmp_path, None)
    assert made_up_source.contents(tmp_path / "invented") == RESULTS
    assert server.asked == [("made_up-1.0.tar.gz", None)]


def test_another_source_distribution_is_refused(package, tmp_path):
    _, recipe, _ = package
    with pytest.raises(
        UserError, match=r"given/made_up-1\.0\.tar\.gz differs from that of somebody/made-up at 0123abcd"
    ):
        make(recipe, tmp_path / "data", lay(tmp_path / "given", {"made_up-1.0.tar.gz": b"other"}))


@pytest.mark.parametrize("unpacked", [True, False])
def test_a_source_distribution_may_be_given_packed_or_not(package, tmp_path, unpacked):
    _, recipe, data = package
    files = {f"made_up-1.0/{path}": data for path, data in FILES.items()} if unpacked else {"made_up-1.0.tar.gz": data}
    make(recipe, tmp_path / "data", lay(tmp_path / "given", files))
    assert made_up_source.contents(tmp_path / "data" / "invented") == RESULTS
