"""Which signals are left to Lightning."""

from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector


class SignalConnector(_SignalConnector):
    """Lightning's, which takes no signal.

    Its handler of SIGTERM ends an evaluation with exit status 0, and talks to other processes in mid-step. The one by
    which it requeues a job of SLURM saves within the handler: processes that are not at the same place then wait for
    each other forever. :class:`.LastCheckpoint` and :mod:`mtl_lightning.cluster.requeue` do that between two steps.
    """

    def register_signal_handlers(self) -> None:
        """Takes none."""
        self.received_sigterm = False
