"""A checkpoint is what was written, or it is refused in one line: no bit of it changes unnoticed."""

import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_lightning.checkpoints import AtomicCheckpointIO
from mtl_lightning.errors import UserError

BITS, CUTS = 400, 120
"""Of a fixed sample; all bits of the headers of a record and of the table of contents come on top."""


def checkpoint(**other: Any) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    state = {"encoder.weight": torch.randn(3, 2, generator=draw), "encoder.bias": torch.zeros(3)}
    ours = {"tasks": {"x": {"labels": ["a", "b"]}}, "assets": {"files": {}, "init_args": {}}}
    return {"state_dict": state, "mtl_lightning": ours, "epoch": 1, **other}


def saved(content: Any) -> bytes:
    torch.save(content, buffer := io.BytesIO())
    return buffer.getvalue()


WHOLE = saved(checkpoint())


def one_line(error: UserError) -> str:
    assert "\n" not in str(error) and len(str(error)) < 400
    return str(error)


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], str]:
    """What a checkpoint of some bytes holds, to the bit; or the line that refuses it."""

    def read(content: bytes) -> str:
        path = tmp_path / "x.ckpt"
        path.write_bytes(content)
        try:
            found = AtomicCheckpointIO().load_checkpoint(path)
        except UserError as error:
            return one_line(error).replace(str(path), "x.ckpt")
        return repr({**found, "state_dict": {k: v.numpy().tobytes() for k, v in found["state_dict"].items()}})

    return read


def flipped(position: int, bit: int) -> bytes:
    content = bytearray(WHOLE)
    content[position] ^= 1 << bit
    return bytes(content)


def places() -> list[tuple[int, int]]:
    draw, contents = random.Random(0), WHOLE.index(b"PK\x01\x02")
    headers = [*range(60), *range(contents, len(WHOLE))]
    sample = [(draw.randrange(len(WHOLE)), draw.randrange(8)) for _ in range(BITS)]
    return sample + [(position, draw.randrange(8)) for position in headers]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_flipped_bit_is_refused_or_changes_nothing(read: Callable[[bytes], str]) -> None:
    whole, refused = read(WHOLE), 0
    for place in places():
        found = read(flipped(*place))
        assert found == whole or found.startswith("x.ckpt is not a readable checkpoint ("), (place, found)
        refused += found != whole
    assert refused > 100  # the others hit what stands between records


def test_a_flipped_bit_in_a_parameter_is_refused(read: Callable[[bytes], str]) -> None:
    weight = checkpoint()["state_dict"]["encoder.weight"].numpy().tobytes()
    start = WHOLE.index(weight)
    for bit in range(8 * len(weight)):
        found = read(flipped(start + bit // 8, bit % 8))
        assert "damaged: 'archive/data/0' is not what was written" in found


def test_a_cut_checkpoint_is_refused(read: Callable[[bytes], str]) -> None:
    for length in sorted(random.Random(1).sample(range(len(WHOLE) - 22), CUTS)):
        assert read(WHOLE[:length]).startswith("x.ckpt is not a readable checkpoint ("), length


def zipped(change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> bytes:
    """The archive again, record by record."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as source, zipfile.ZipFile(buffer, "w") as target:
        for record in source.infolist():
            change(target, record, source.read(record))
    return buffer.getvalue()


class Code:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


def bomb(target: zipfile.ZipFile, record: zipfile.ZipInfo, content: bytes) -> None:
    target.writestr(record.filename, content * 1000, zipfile.ZIP_DEFLATED)


def twice(target: zipfile.ZipFile, record: zipfile.ZipInfo, content: bytes) -> None:
    target.writestr(record.filename, content)
    if record.filename.endswith("data/0"):
        with pytest.warns(UserWarning, match="Duplicate"):
            target.writestr(record.filename, bytes(len(content)))


def overlapping() -> bytes:
    """The table of contents says of one parameter that it is where the other is."""
    content = bytearray(WHOLE)
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as source:
        one, other = (source.getinfo(f"archive/data/{number}").header_offset for number in (0, 1))
    entry = content.index(b"archive/data/1", content.index(b"PK\x01\x02")) - 4
    assert int.from_bytes(content[entry : entry + 4], "little") == other
    content[entry : entry + 4] = one.to_bytes(4, "little")
    return bytes(content)


def a_folder() -> bytes:
    """The table of contents says of a parameter that it is a folder: torch would read nothing, and say nothing."""
    content = bytearray(WHOLE)
    content[content.index(b"archive/data/0", content.index(b"PK\x01\x02")) - 8] |= 0x10
    return bytes(content)


def of_something_else() -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as target:
        target.writestr("package/__init__.py", "")
    return buffer.getvalue()


def script() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("model/data.pkl", b"x")
        target.writestr("model/constants.pkl", b"x")
    return buffer.getvalue()


def before_1_6() -> bytes:
    torch.save(checkpoint(), buffer := io.BytesIO(), _use_new_zipfile_serialization=False)
    return buffer.getvalue()


FILES = {
    "empty": (lambda: b"", "it is empty"),
    "text": (lambda: b"name: run\n" * 99, "it is not an archive of torch.save"),
    "pickle": (lambda: pickle.dumps(Code()), "it is not an archive of torch.save"),
    "format of before": (before_1_6, "or one of torch before 1.6"),
    "another archive": (of_something_else, "but one of something else"),
    "script": (script, "it is a model of TorchScript"),
    "compressed": (lambda: zipped(bomb), "is compressed, which torch.save never does"),
    "twice": (lambda: zipped(twice), "two of its records have the same name"),
    "folder": (a_folder, "damaged: 'archive/data/0' would be a folder"),
    "overlapping": (overlapping, "damaged"),
    "code": (lambda: saved(checkpoint(code=Code())), "it holds code, which is not run: posix.mkdir"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_checkpoint_is_said(
    read: Callable[[bytes], str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made, said = FILES[name]
    found = read(made())
    assert found.startswith("x.ckpt is not a readable checkpoint (") and said in found
    assert not Path("executed").exists()


def test_an_archive_that_was_packed_again_is_the_same(read: Callable[[bytes], str]) -> None:
    again = zipped(lambda target, record, content: target.writestr(record.filename, content))
    assert read(again) == read(WHOLE)


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "pipe", "is not a file"), ("/dev/zero", "is not a file")):
        with pytest.raises(UserError, match=said):
            AtomicCheckpointIO().load_checkpoint(path)
    with pytest.raises(UserError, match=r"\(No such file or directory\)"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "nowhere")
