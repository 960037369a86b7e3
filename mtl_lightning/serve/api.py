"""LitServe's part that has the model: what happens in the process that computes."""

from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from fastapi import HTTPException, Request
from litserve import LitAPI

from mtl_lightning.decoded_limits import DecodedLimits, decoded_within
from mtl_lightning.errors import UserError
from mtl_lightning.serve.keys import check_key
from mtl_lightning.serve.models import Model, opened
from mtl_lightning.serve.options import Options
from mtl_lightning.serve.outcomes import Outcome, outcomes
from mtl_lightning.stopping import as_worker

ON_CPU = 8
"""Inputs that a CPU computes at once: more are no faster for MiniLM, and differ more in length."""


class Job(NamedTuple):
    """A batch.

    Attributes:
        columns: Values of each input.
        tasks: Names of those to predict; null: all.
    """

    columns: Mapping[str, Sequence[Any]]
    tasks: Sequence[str] | None


class PredictionAPI(LitAPI):
    """Predicts batches that :class:`.spec.PredictionSpec` has gathered.

    Args:
        options: Of the command.
        report: Where the process that computes says what can be asked, or why it has no model.
        spec: What answers requests.
    """

    def __init__(self, options: Options, report: Connection, **settings: Any) -> None:
        super().__init__(max_batch_size=1, **settings)
        self.options = options
        self.report = report
        self._model: Model | None = None

    def authorize(self, request: Request) -> None:
        """LitServe's hook in front of each endpoint.

        Raises:
            Refusal: 401, without the right key.
        """
        check_key(self.options.key, request)

    def setup(self, device: str) -> None:
        """Reads the model, in the process that computes; a mistake goes to the one that answers."""
        as_worker()
        try:
            self._model, catalogue = opened(self.options, device)
        except UserError as error:
            self.report.send(str(error))
        else:
            self.report.send(catalogue)

    def decode_request(self, request: Job, **_: Any) -> Job:
        """The batch as it is."""
        return request

    def predict(self, x: Job, **_: Any) -> list[Outcome]:
        """What becomes of each input."""
        if self._model is None:
            raise HTTPException(503, "there is no model")
        limits = DecodedLimits(self.options.max_pixels, self.options.max_samples)
        with decoded_within(limits):
            return outcomes(self._model, x.columns, x.tasks, ON_CPU if self.device == "cpu" else None)

    def encode_response(self, output: list[Outcome], **_: Any) -> list[Outcome]:
        """The outcomes as they are."""
        return output
