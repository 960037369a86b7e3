"""Which signals are left to Lightning."""

import signal

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector


class SignalConnector(_SignalConnector):
    """Lightning's, which takes nothing but the signal by which it requeues a job of SLURM.

    Its own handler of SIGTERM ends an evaluation with exit status 0, and talks to other processes in mid-step.
    """

    def register_signal_handlers(self) -> None:
        """Takes the signal, if the trainer is to requeue jobs."""
        self.received_sigterm = False
        environment = self.trainer._accelerator_connector.cluster_environment
        if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
            number = environment.requeue_signal or signal.SIGUSR1
            self._original_handlers = {number: signal.getsignal(number)}
            self._register_signal(number, self._slurm_sigusr_handler_fn)
