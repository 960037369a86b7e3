"""The logs of runs are read as they are, or it is one line that says which one to remove."""

from pathlib import Path

import pytest

from mtl_lightning.compare.evidence.curves import curves
from mtl_lightning.errors import UserError

HEAD = "epoch,note,step,train/loss,val/a/mae\n"


def values(folder: Path) -> list[tuple[str, int, float]]:
    """Name, step and value of all points."""
    table = curves([("equal", 0, folder)])
    return list(table[["name", "step", "value"]].itertuples(index=False, name=None))


def test_a_run_is_read_in_all_its_parts(tmp_path: Path) -> None:
    (tmp_path / "metrics.1.csv").write_text(f"{HEAD}0,,1,0.5,\n0,,2,0.4,0.3\n0,,3,0.3")  # killed in mid-line
    (tmp_path / "metrics.2.csv").write_text("")
    (tmp_path / "metrics.csv").write_text(f'{HEAD}0,"a, b\n c",2,0.25,nan\n0,,3,inf,\n')
    (tmp_path / "metrics.old.csv").write_text("mine")
    assert values(tmp_path) == [
        *(("train/loss", 1, 0.5), ("train/loss", 2, 0.25), ("train/loss", 3, float("inf"))),
        ("val/a/mae", 2, 0.3),
    ]
    assert curves([("single task", 0, tmp_path), ("upgrad", 0, tmp_path / "nowhere")]).empty


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch,train/loss\n0,1\n", "it has no column 'step'"),
        ("step,train/loss\n0,1\n", "it has no column 'epoch'"),
        ("epoch,step,train/loss,train/loss\n0,1,2,3\n", "two columns are called 'train/loss'"),
        (f"{HEAD}0,,1,0.5,\n0,,2\n", "line 3 has 3 values for 5 columns"),
        (f"{HEAD}0,,1,0.5,,7\n", "line 2 has 6 values for 5 columns"),
        (f"{HEAD}0,,1,abc,\n", "'abc'"),
        (f"{HEAD}0,,x,1,\n", "'x'"),
        (f"{HEAD}0,,,1,\n", "row 1 has the step nan"),
        (f"{HEAD}0,,1,1,\n0,,2.5,1,\n", "row 2 has the step 2.5"),
        (f"{HEAD}0,,-1,1,\n", "row 1 has the step -1.0"),
        (f"{HEAD}0,,1e300,1,\n", r"row 1 has the step 1e\+300"),
        (f'{HEAD}0,",1,1,\n', "line 2 has 2 values"),
        (f"{HEAD}0,,1,\0,\n", ""),
        (b"\xff\xfe\n", "codec can't decode"),
    ],
)
def test_a_log_that_is_broken_is_said(text: str | bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=rf"metrics\.csv is broken \(.*{said}.*\); remove it"):
        values(tmp_path)
