"""A SLURM with two virtual nodes, which all processes of a test session share."""

import os
from pathlib import Path

import private_slurm
import pytest
from filelock import FileLock


@pytest.fixture(scope="session")
def slurm_conf(tmp_path_factory):
    """``slurm.conf`` of the session's SLURM: the first test that needs it starts it; it ends with pytest's process."""
    if reason := private_slurm.missing():
        pytest.skip(reason)
    base, serving = tmp_path_factory.getbasetemp(), os.getpid()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base, serving = base.parent, os.getppid()
    named = base / "slurm_conf"
    with FileLock(f"{named}.lock"):
        if not named.exists():
            named.write_text(str(private_slurm.start(serving)))
    return Path(named.read_text())


@pytest.fixture
def slurm(slurm_conf, monkeypatch):
    """SLURM's commands in this test, and in the processes it starts, speak to the session's SLURM."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    return slurm_conf
