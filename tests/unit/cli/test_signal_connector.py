"""Lightning keeps the signal by which it requeues jobs of SLURM, and no other."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment

from mtl_lightning.cli.signal_connector import SignalConnector
from mtl_lightning.stopping import NUMBERS, SIGNALS

SLURM: Any = SLURMEnvironment
ENVIRONMENTS = {
    "none": (LightningEnvironment(), None),
    "slurm": (SLURM(auto_requeue=True), signal.SIGUSR1),
    "slurm, another signal": (SLURM(auto_requeue=True, requeue_signal=signal.SIGUSR2), signal.SIGUSR2),
    "slurm, not to be requeued": (SLURM(auto_requeue=False), None),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_it_takes_what_requeues_a_job(name: str) -> None:
    environment, taken = ENVIRONMENTS[name]
    trainer: Any = SimpleNamespace(_accelerator_connector=SimpleNamespace(cluster_environment=environment))
    numbers = {*NUMBERS, signal.SIGUSR2}
    with SIGNALS.listening():
        before = {number: signal.getsignal(number) for number in numbers}
        connector = SignalConnector(trainer)
        connector.register_signal_handlers()
        changed = [number for number in numbers if signal.getsignal(number) != before[number]]
        assert changed == [] if taken is None else changed == [taken]
        connector.teardown()
        assert {number: signal.getsignal(number) for number in numbers} == before
