"""Lightning takes no signal, also where it would requeue jobs of SLURM."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment

from mtl_lightning.cli.signal_connector import SignalConnector
from mtl_lightning.stopping import NUMBERS, SIGNALS

SLURM: Any = SLURMEnvironment
ENVIRONMENTS = {
    "none": LightningEnvironment(),
    "slurm": SLURM(auto_requeue=True),
    "slurm, another signal": SLURM(auto_requeue=True, requeue_signal=signal.SIGUSR2),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_it_takes_none(name: str) -> None:
    trainer: Any = SimpleNamespace(_accelerator_connector=SimpleNamespace(cluster_environment=ENVIRONMENTS[name]))
    with SIGNALS.listening():
        before = {number: signal.getsignal(number) for number in NUMBERS}
        connector = SignalConnector(trainer)
        connector.register_signal_handlers()
        assert {number: signal.getsignal(number) for number in NUMBERS} == before
        connector.teardown()
        assert {number: signal.getsignal(number) for number in NUMBERS} == before
