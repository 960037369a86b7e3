"""Images in data sets: paths, folders of classes, mosaics, bad ones, and what is random of them."""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from images import file_of, pixels, write
from PIL import Image

from mtl_lightning.__main__ import main
from mtl_lightning.cli.prediction_lines import written
from mtl_lightning.data import ColumnSplit, FileSource, FolderSource, FractionSplit, Moment, Mosaic, RoundRobin
from mtl_lightning.data.collation import StepDataset
from mtl_lightning.data.encoding import Encoding
from mtl_lightning.data.sampler import Rows, StepSampler
from mtl_lightning.data.sources.prediction import read_inputs
from mtl_lightning.encoders import ImageProcessor, Images, RandomHorizontalFlip, RandomResizedCrop
from mtl_lightning.errors import UserError

IMAGES = {
    "size": 8,
    "augment": ["RandomHorizontalFlip", {"class_path": "RandomResizedCrop", "init_args": {"scale": [0.3, 0.9]}}],
}
CONFIG = {
    **tiny.CONFIG,
    "model": {
        "encoder": {
            "class_path": "ConvolutionalEncoder",
            "init_args": {"in_channels": 3, "channels": [2, 4], "features": 4, "images": IMAGES},
        },
        "tasks": {"kind": "SequenceClassification"},
        "optimizer": {"class_path": "AdamW", "init_args": {"lr": 0.01}},
    },
    "data": {
        "datasets": {
            "d": {
                "class_path": "FolderSource",
                "init_args": {"folders": {"train": "train", "val": "val", "test": "val"}, "labels": {"kind": "class"}},
            }
        },
        "batch_size": 5,
        "num_workers": 0,
    },
}


def folders(root: Path) -> None:
    for i in range(16):
        write(
            root
            / ("train" if i < 12 else "val")
            / ("red" if i % 2 else "blue")
            / f"{i:02}.{'jpg' if i % 3 else 'png'}",
            i,
        )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    folders(folder)
    with tiny.whole_run(folder, CONFIG, "--trainer.max_epochs=1") as found:
        yield found


def test_a_table_of_paths_is_predicted_on(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"image": "val/red/13.jpg"}, {"image": "val/red/no.jpg"}, {"image": "val/blue/12.png"}]
    tiny.write_rows(runs / "new.jsonl", rows)
    assert main(["predict", "--ckpt_path=whole", "--input=new.jsonl"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["predictions"] is not None for each in found] == [True, False, True]
    assert found[0]["predictions"]["kind"]["label"] in ("red", "blue")
    assert "no file" in found[1]["reason"] and "did you mean '13.jpg'?" in found[1]["reason"]


def test_a_batch_is_shown_with_its_pictures(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show-batch", "--config=config.yaml", "--examples=1", "--html=page.html"]) == 0
    assert "image" in capsys.readouterr().out
    assert Path("page.html").read_text().count("data:image/png;base64,") >= 1


def tables(source: Any, processor: ImageProcessor, split: str = "train") -> StepDataset:
    table = Encoding("d", source, processor, {})(source.load()[split], split, labelled=False)
    return StepDataset({"d": table}, processor, {})


def batch(dataset: StepDataset, rows: list[int], key: tuple[int, ...] | None) -> np.ndarray:
    return dataset[{"d": Rows(rows, {}, key=key)}]["d"].inputs["image"].numpy()


def test_what_is_random_follows_from_seed_epoch_and_example_alone(tmp_path: Path) -> None:
    folders(tmp_path)
    processor = ImageProcessor(Images(8, augment=[RandomHorizontalFlip(), RandomResizedCrop((0.3, 0.9))]))
    dataset = tables(FolderSource({}, str(tmp_path), {"train": "train"}), processor)
    first = batch(dataset, [0, 1, 2, 3], (7, 0, 0))
    assert (batch(dataset, [3, 0], (7, 0, 0)) == first[[3, 0]]).all(), "not from its place in a batch"
    for key in ((8, 0, 0), (7, 1, 0), (7, 0, 1)):
        assert (batch(dataset, [0, 1, 2, 3], key) != first).any()
    plain = batch(dataset, [0, 1, 2, 3], None)
    assert (plain == batch(dataset, [0, 1, 2, 3], None)).all() and (plain != first).any()


def test_a_resumed_run_draws_what_the_uninterrupted_one_drew() -> None:
    numbers = np.ones(12, np.int64)

    def keys(start: tuple[int, int], seed: int = 3) -> list[tuple[int, ...] | None]:
        sizes = {"a": 4, "b": 4}
        sampler = StepSampler(
            dict.fromkeys(sizes, numbers), {name: {name: numbers} for name in sizes}, sizes, RoundRobin(), moments(seed)
        )
        sampler.start = start
        sampler.set_epoch(start[0])
        return [plan[name].key for plan in sampler for name in plan]

    def moments(seed: int) -> Any:
        return lambda epoch: Moment(seed, epoch)

    whole = keys((2, 0))
    assert set(whole) == {(3, 2, 0), (3, 2, 1)}
    assert keys((2, 2)) == whole[4:], "a step draws both"
    assert not {*keys((1, 0)), *keys((2, 0), seed=4)} & {*whole}


def test_paths_start_from_the_root_of_their_data_set(tmp_path: Path) -> None:
    for i, name in enumerate(("a", "b")):
        write(tmp_path / name / "1.png", i)
    tiny.write_rows(tmp_path / "table.jsonl", [{"file": "1.png"}] * 3)
    processor = ImageProcessor(Images(8))
    found = []
    for name in ("a", "b"):
        source = FileSource("../table.jsonl", {"image": "file"}, {}, str(tmp_path / name), FractionSplit(0.4, 0))
        found.append(batch(tables(source, processor), [0], None))
    assert (found[0] != found[1]).any()


def test_bad_images_are_named_or_left_out_and_counted_until_they_are_mended(tmp_path: Path) -> None:
    good = write(tmp_path / "0.png", 0)
    (tmp_path / "1.png").write_bytes(good.read_bytes()[:60])
    rows = [{"file": f"{i}.png"} for i in range(3)]
    (tmp_path / "t.csv").write_text("file\n" + "".join(f"{row['file']}\n" for row in rows))
    files = {"train": "t.csv"}
    encoding = Encoding("d", FileSource(files, {"image": "file"}, {}, str(tmp_path)), ImageProcessor(Images(8)), {})
    table = encoding.source.load()["train"]
    with pytest.raises(
        UserError, match=r"t\.csv, line 3, column 'file': input 'image': .*1\.png is broken.*on_bad_row"
    ):
        encoding(table, "train", labelled=False)
    encoding.source.on_bad_row = "skip"
    encoded = encoding(table, "train", labelled=False)
    assert encoded["row"][:].tolist() == [0]
    reasons = [bad.reason for bad in encoding.skipped(table, encoded, "train", labelled=False)]
    assert "1.png is broken" in reasons[0] and "no file" in reasons[1] and "did you mean" in reasons[1]
    write(tmp_path / "1.png", 1)
    assert encoding(table, "train", labelled=False)["row"][:].tolist() == [0, 1]


def test_a_text_of_a_request_reads_no_file(tmp_path: Path) -> None:
    path = write(tmp_path / "0.png")
    processor = ImageProcessor(Images(8))
    with pytest.raises(UserError, match="base64"):
        processor.encode({"image": [str(path)]})
    assert processor.encode({"image": [base64.b64encode(path.read_bytes()).decode()]})


def test_folders_of_classes_are_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders(tmp_path)
    write(tmp_path / "val" / "loose.png")
    (tmp_path / "val" / "red" / "x.png").symlink_to("gone.png")
    write(tmp_path / "train" / "red" / "deep" / "er.PNG")
    (tmp_path / "train" / "red" / "notes.txt").write_text("")
    (tmp_path / "train" / ".cache").mkdir()
    source = FolderSource({"kind": "class"}, str(tmp_path), {"train": "train", "val": "val"})
    found = source.load()
    assert found["train"]["image"][:2] == ["train/blue/00.png", "train/blue/02.jpg"]
    assert found["train"]["image"][-1] == "train/red/deep/er.PNG"
    assert found["train"]["class"][:] == ["blue"] * 6 + ["red"] * 7
    whole = FolderSource({"kind": "class"}, str(tmp_path / "val"), split=FractionSplit(0.25, 0.25)).load()
    assert {name: len(table) for name, table in whole.items()} == {"train": 3, "val": 1, "test": 1}
    assert "val: images beside the classes' folders, which have no class, were passed over: 1" in caplog.text


def test_folders_may_hold_recordings(tmp_path: Path) -> None:
    for name in ("one/1.wav", "one/2.FLAC", "two/3.ogg", "two/cover.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    source = FolderSource({"digit": "class"}, str(tmp_path), {"train": "."}, kind="sound")
    assert source.inputs == {"sound": "sound"}
    table = source.load()["train"]
    assert table.to_dict() == {"sound": ["one/1.wav", "one/2.FLAC", "two/3.ogg"], "class": ["one", "one", "two"]}
    assert source.describe("train", 0) == f"{tmp_path}, sound 1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`folders` must name a folder for each split, or `split` divide"),
        ({"folders": {"training": "train"}}, "unknown split 'training'; did you mean 'train'"),
        ({"folders": {"train": "none"}, "written_by": "make it"}, "there is no folder .*none: `make it` writes it"),
        ({"folders": {"train": "empty"}}, "empty has no folders of images, one for each class"),
        ({"folders": {"train": "bare"}}, r"bare/kind has no images \(.jpg"),
        ({"folders": {"train": "sounds"}}, r"sounds/a has no images .*or fill it; for sounds, set `kind: sound`"),
    ],
)
def test_folders_that_are_no_classes_are_refused(arguments: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare" / "kind").mkdir(parents=True)
    (tmp_path / "sounds" / "a").mkdir(parents=True)
    (tmp_path / "sounds" / "a" / "1.wav").write_text("")
    with pytest.raises(UserError, match=message):
        FolderSource({"kind": "class"}, str(tmp_path), **arguments).load()


def test_tiles_of_a_mosaic_are_a_column(tmp_path: Path) -> None:
    large = pixels(height=8, width=12)
    (tmp_path / "m.png").write_bytes(file_of(large))
    (tmp_path / "t.csv").write_text("n,part\n5,a\n0,b\n")
    split = ColumnSplit("part", "a", "b", None)
    source = FileSource("t.csv", {"image": "image"}, {}, str(tmp_path), split, mosaic=Mosaic("m.png", 4, index="n"))
    found = source.load()
    assert (np.asarray(Image.open(BytesIO(found["train"][0]["image"]))) == large[4:, 8:]).all()
    assert batch(tables(source, ImageProcessor(Images(4)), "val"), [0], None).shape == (1, 3, 4, 4)
    for mosaic, message in (
        (Mosaic("no.png", 4), "no file .*no.png; did you mean"),
        (Mosaic("m.png", 8, index="n"), "row 1 has tile 5 of .*, which has 1; check `mosaic.tile`"),
        (Mosaic("m.png", 4, index="m"), "no column 'm'"),
        (Mosaic("m.png", 4, index="part"), "column 'part' must hold whole numbers, found 'a'"),
        (Mosaic("m.png", 4, column="n"), "has a column 'n' already"),
    ):
        source.mosaic = mosaic
        with pytest.raises(UserError, match=message):
            source.load()


def test_a_table_to_predict_on_has_the_tiles_of_its_mosaic(tmp_path: Path) -> None:
    large = pixels(height=8, width=12)
    (tmp_path / "m.png").write_bytes(file_of(large))
    (tmp_path / "new.csv").write_text("n\n5\n9\nx\n")
    made = {
        name: FileSource({"train": "t.csv"}, {"image": "image"}, {}, mosaic=Mosaic(f"{name}.png", 4, index="n"))
        for name in ("m", "other")
    }
    source, table = read_inputs(str(tmp_path / "new.csv"), {"m": made["m"]})
    assert source.inputs == {"image": "image"}
    first, *none = table["image"][:]
    assert (np.asarray(Image.open(BytesIO(first))) == large[4:, 8:]).all() and none == [None, None]
    assert written(table) == ["n"] and written(table.select_columns(["image"])) == ["image"]
    with pytest.raises(UserError, match=r"no column 'image', which are tiles of m\.png and of other\.png; add it"):
        read_inputs(str(tmp_path / "new.csv"), dict(made))
    with pytest.raises(UserError, match=r"no file .*other\.png"):
        read_inputs(str(tmp_path / "new.csv"), {"other": made["other"]})
