"""What the experiment on faults makes of what was printed."""

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
