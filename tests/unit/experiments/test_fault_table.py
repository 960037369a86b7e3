"""What the experiment on faults makes of what was printed."""

from pathlib import Path

import pytest

from experiments.faults import trying
from experiments.faults.__main__ import main
from experiments.faults.table import table
from experiments.faults.trying import Found, said

_SUMMARY = """\
[rank1]: LookupError: this cannot be computed
error: process 1 on vm (4711) no longer answers; resume with --ckpt_path /a/run/checkpoints/last.ckpt
srun: error: mtlnode0: task 0: Killed
"""


def test_the_last_line_of_the_run_itself_is_found_and_told_without_names():
    row = Found("killed", "`srun`", said(_SUMMARY), 137, 16.4, 0, 6, True)
    assert table([row]).splitlines()[-1] == (
        "| killed | `srun` | `error: process 1 on HOST (PID) no longer answers; resume with --ckpt_path RUN/last.ckpt` "
        "| 16 s | step 6 | the same |"
    )


def test_an_error_is_found_behind_the_name_of_a_process():
    assert said("[rank1]: LookupError: this cannot be computed\n") == "LookupError: this cannot be computed"


def test_without_a_line_of_the_run_it_is_torchruns():
    assert said("  rank      : 0\n  traceback : Signal 9 (SIGKILL) received by PID 7\n").startswith("Signal 9")
    assert said("-----\n") == "nothing"


def test_what_an_earlier_time_has_printed_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path)])
    assert f"--output: {tmp_path} exists; name another folder" in capsys.readouterr().err


def test_nothing_is_compared_with_a_run_that_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "train", lambda *_: None)
    with pytest.raises(SystemExit, match=r"has failed: .*/whole.txt says why"):
        trying.whole(tmp_path)
