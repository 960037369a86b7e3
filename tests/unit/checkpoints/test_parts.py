"""Checkpoints in parts: converted both ways without a change; refused in one line where anything is amiss."""

import errno
import os
import pickle
import shutil
import signal
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_lightning.__main__ import main
from mtl_lightning.checkpoints import AtomicCheckpointIO, BackgroundCheckpointIO, conversion, find_checkpoint, parts
from mtl_lightning.checkpoints.conversion import convert
from mtl_lightning.checkpoints.joining_parts import check_complete
from mtl_lightning.checkpoints.parts import parts_of, write_parts
from mtl_lightning.errors import UserError
from mtl_lightning.writing import CannotWriteError

IO = AtomicCheckpointIO()


def checkpoint(number: int = 1) -> dict[str, Any]:
    torch.manual_seed(number)
    tied = torch.randn(2, 2)
    state: Any = OrderedDict(
        {
            "encoder.weight": torch.randn(3, 4, dtype=torch.float64),
            "encoder.half": torch.randn(5).bfloat16(),
            "encoder.last": torch.randn(2, 3, 2, 2).to(memory_format=torch.channels_last),
            "heads.nothing": torch.zeros(0, 2),
            "heads.nan": torch.tensor([float("nan"), -0.0]),
            "heads.tied": tied,
            "heads.count": torch.tensor(3),
            "heads.as tied": tied,
        }
    )
    state._metadata = OrderedDict({"": {"version": 1}})
    moments = {0: {"step": torch.tensor(7.0), "exp_avg": torch.randn(3, 4)}, 1: {"exp_avg": torch.randn(5)}}
    return {
        "mtl_lightning": {"tasks": {}, "assets": {"files": {}, "init_args": {}}},
        "state_dict": state,
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}],
        "global_step": number,
    }


def flat(value: Any, where: str = "") -> dict[str, Any]:
    """Bytes, types, strides and order of all that a checkpoint holds."""
    if isinstance(value, torch.Tensor):
        content = value.contiguous().flatten().view(torch.uint8) if value.numel() and value.dim() else value.flatten()
        return {where: (value.dtype, value.shape, value.stride(), content.tolist())}
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found = {where: (type(value), getattr(value, "_metadata", None))}
        return found | {k: v for key, inner in items for k, v in flat(inner, f"{where}/{key}").items()}
    return {where: value}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    IO.save_checkpoint(checkpoint(), tmp_path / "whole.ckpt")
    return tmp_path / "whole.ckpt"


@pytest.fixture
def split(whole: Path) -> Path:
    assert convert(whole, whole.with_name("split.ckpt"))
    return whole.with_name("split.ckpt")


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_a_round_trip_changes_nothing(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = whole.with_name("split.ckpt"), whole.with_name("again.ckpt")
    assert main(["convert", f"--ckpt_path={whole}", f"--output={one}"]) == 0
    assert main(["convert", "--ckpt_path", str(one), "--output", str(two)]) == 0
    output = capfd.readouterr()
    assert output.out.split("\n")[0] == f"Converted {whole} to {one} and {one}.parts" and not output.err
    expected = flat(checkpoint())
    for path in (one, two):
        found = IO.load_checkpoint(path)
        assert list(flat(found).items()) == list(expected.items()), path
        state = found["state_dict"]
        assert state["heads.tied"].data_ptr() == state["heads.as tied"].data_ptr()
    rest = torch.load(one, weights_only=True)
    assert [name for name, value in rest["state_dict"].items() if value is None] == [
        "encoder.weight",
        "encoder.half",
        "heads.nothing",
        "heads.nan",
    ]
    assert rest["optimizer_states"][0]["state"][0]["exp_avg"] is None
    assert not parts_of(two).exists()


def test_what_cannot_be_converted(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for given, message in {
        (str(whole), str(whole)): f"error: --output: {whole} exists; name another file",
        (str(whole), ""): "error: --output: . exists; name another file",
        (str(whole), "s3://bucket/x.ckpt"): "error: --output: name a local file, found s3://bucket/x.ckpt\n",
        ("gone", "x.ckpt"): "error: ckpt_path: no file or folder gone; give a checkpoint",
    }.items():
        assert main(["convert", "--ckpt_path", given[0], "--output", given[1]]) == 2
        assert capfd.readouterr().err.startswith(message)
    assert main(["convert", "--ckpt_path", str(whole)]) == 2
    assert capfd.readouterr().err == "error: convert: the following arguments are required: --output\n"
    assert main(["convert", "--help"]) == 0 and "--output FILE" in capfd.readouterr().out


def test_a_step_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    torch.save(checkpoint() | {"global_step": "../../elsewhere/x"}, tmp_path / "whole.ckpt")
    with pytest.raises(UserError, match=r"global_step"):
        convert(tmp_path / "whole.ckpt", tmp_path / "here" / "split.ckpt")
    assert os.listdir(tmp_path) == ["whole.ckpt"]


def cut(folder: Path) -> None:
    os.truncate(folder / "__0_0.distcp", 3000)


def flip(folder: Path) -> None:
    content = bytearray((folder / "__0_0.distcp").read_bytes())
    at = content.index(checkpoint()["state_dict"]["encoder.weight"].numpy().tobytes())
    content[at + 3] ^= 1
    (folder / "__0_0.distcp").write_bytes(content)


def rewrite(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        metadata = pickle.loads((folder / ".metadata").read_bytes())
        change(metadata)
        (folder / ".metadata").write_bytes(pickle.dumps(metadata))

    return write


def elsewhere(metadata: Any) -> None:
    for info in metadata.storage_data.values():
        info.relative_path = "../../whole.ckpt"


def huge(metadata: Any) -> None:
    tensor = metadata.state_dict_metadata["state_dict.encoder.weight"]
    tensor.size, tensor.chunks[0].sizes = torch.Size([1 << 30, 1 << 30]), torch.Size([1 << 30, 1 << 30])


def hole(metadata: Any) -> None:
    metadata.state_dict_metadata["state_dict.encoder.weight"].chunks[0].sizes = torch.Size([2, 4])


def twice(metadata: Any) -> None:
    """Two chunks of the same place: in the other half of the tensor, nothing is written."""
    chunks = metadata.state_dict_metadata["state_dict.encoder.half"].chunks
    metadata.state_dict_metadata["state_dict.encoder.half"].size = torch.Size([10])
    chunks.append(chunks[0])


def pipe(name: str) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return replace


class Code:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


AMISS = {
    "the folder is gone": (shutil.rmtree, "is not there: copy "),
    "a part is gone": (lambda folder: (folder / "__0_0.distcp").unlink(), "No such file or directory"),
    "a part is cut": (cut, "cut off or damaged"),
    "a bit is flipped": (flip, "is not what was written"),
    "no table of contents": (lambda folder: (folder / ".metadata").write_bytes(b"x"), "UnpicklingError"),
    "code": (lambda folder: (folder / ".metadata").write_bytes(pickle.dumps(Code())), "it holds code, which is not"),
    "a file elsewhere": (rewrite(elsewhere), "its table of contents is none"),
    "more than there is": (rewrite(huge), "there is less than its table of contents says"),
    "a part of a tensor": (rewrite(hole), "a part of a tensor is missing"),
    "the same part twice": (rewrite(twice), "a part of a tensor is missing"),
    "a part is a pipe": (pipe("__0_0.distcp"), "__0_0.distcp is not a file"),
    "the table of contents is a pipe": (pipe(".metadata"), ".metadata is not a file"),
    "a tensor": (rewrite(lambda metadata: metadata.state_dict_metadata.popitem()), "KeyError"),
}


@pytest.mark.parametrize(("harm", "message"), AMISS.values(), ids=AMISS)
def test_what_is_amiss_is_said_in_one_line(
    split: Path, harm: Callable[[Path], None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(split.parent)
    harm(only(parts_of(split)))
    with pytest.raises(UserError) as caught:
        IO.load_checkpoint(split)
    line = str(caught.value)
    assert message in line and "\n" not in line and str(split) in line and not Path("ran").exists()


HERE = [{"folder": name, "places": {}} for name in ("", ".", "..")]


@pytest.mark.parametrize(
    "named", ["..", 3, {"folder": "../x", "places": {}}, *HERE, {"folder": "a", "places": {"x": ["y"]}}]
)
def test_where_parts_are_is_not_believed(split: Path, named: Any) -> None:
    content = torch.load(split, weights_only=True) | {"parts": named}
    torch.save(content, split)
    with pytest.raises(UserError, match=r"split.ckpt is broken: it does not say where its parts are"):
        IO.load_checkpoint(split)


def test_no_place_for_a_tensor(split: Path) -> None:
    content = torch.load(split, weights_only=True)
    content["parts"]["places"]["state_dict.encoder.weight"] = ["state_dict", "heads.count"]
    torch.save(content, split)
    with pytest.raises(UserError, match=r"split.ckpt is broken: it has no place for the tensor"):
        IO.load_checkpoint(split)


@pytest.mark.parametrize("io", [IO, BackgroundCheckpointIO()], ids=["at once", "in the background"])
def test_parts_go_with_their_checkpoint(split: Path, io: AtomicCheckpointIO) -> None:
    content = torch.load(split, weights_only=True)
    (parts_of(split) / "step=0-of one that was killed").mkdir()
    io.save_checkpoint(content, split)
    io.teardown()
    assert only(parts_of(split)).name == content["parts"]["folder"]
    assert IO.load_checkpoint(split)["global_step"] == 1
    io.save_checkpoint(checkpoint(2), split)  # whole, in the place of one in parts
    io.teardown()
    assert not parts_of(split).exists() and IO.load_checkpoint(split)["global_step"] == 2


def test_what_else_is_beside_parts_stays(split: Path, tmp_path: Path) -> None:
    """What the folder of parts leads to may be anything."""
    (tmp_path / "home" / "photographs").mkdir(parents=True)
    (tmp_path / "other.ckpt.parts").symlink_to(tmp_path / "home")
    (parts_of(split) / "notes").mkdir()
    for path in (split, tmp_path / "other.ckpt"):
        IO.save_checkpoint(checkpoint(2), path)
    assert only(parts_of(split)).name == "notes"
    assert only(tmp_path / "home").name == "photographs"


def test_parts_lead_to_their_checkpoint(split: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(only(parts_of(split)))
    for folder in (parts_of(split), only(parts_of(split)), Path()):
        with pytest.raises(UserError) as caught:
            find_checkpoint(str(folder), "run", last=True)
        assert str(caught.value) == f"ckpt_path: {folder} has parts of a checkpoint; give {split}, which they belong to"


def test_parts_are_removed_with_their_checkpoint(split: Path) -> None:
    IO.remove_checkpoint(split)
    assert os.listdir(split.parent) == ["whole.ckpt"]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_writer_that_is_killed_or_fails_leaves_what_was_there(split: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each moment: as parts are on the disk, and as the file is."""
    before = flat(IO.load_checkpoint(split))
    kept, left = only(parts_of(split)).name, 1
    for module, name in ((parts, "save"), (parts, "synchronise"), (conversion.torch, "save")):
        for harm in (kill, fail):
            if (child := os.fork()) == 0:
                try:
                    monkeypatch.setattr(module, name, lambda *args, harm=harm, **options: harm())
                    conversion._save_in_parts(IO, checkpoint(3), split)
                finally:
                    os._exit(0)
            assert (os.waitpid(child, 0)[1] == signal.SIGKILL) == (harm is kill)
            assert flat(IO.load_checkpoint(split)) == before
            if harm is fail:
                assert len(os.listdir(parts_of(split))) == left  # nothing more
            left = len(os.listdir(parts_of(split)))
    conversion._save_in_parts(IO, checkpoint(4), split)
    assert only(parts_of(split)).name != kept and IO.load_checkpoint(split)["global_step"] == 4


@pytest.mark.parametrize("name", ["mkdir", "fsync"])
def test_a_full_disk_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, name, lambda *_: fail())
    with pytest.raises(CannotWriteError, match=r"cannot write .*/x: No space left on device; free some space"):
        write_parts(tmp_path / "x", {"a": torch.zeros(2)}, alone=True)


def test_parts_that_another_node_wrote_elsewhere(split: Path) -> None:
    folder = only(parts_of(split))
    check_complete(folder)
    (folder / "__0_0.distcp").unlink()
    with pytest.raises(CannotWriteError, match=r"__0_0.distcp of another process is not there; all nodes must write"):
        check_complete(folder)
