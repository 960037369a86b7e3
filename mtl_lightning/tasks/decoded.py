"""Logits as predictions."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.decoding import Decoder, InputWords
from mtl_lightning.decoding.pixels import Drawn
from mtl_lightning.errors import UserError


class Decoded:
    """Lets a task make predictions of its logits: tensors by name, that a decoder without torch reads.

    Attributes:
        needs_torch: Why there is no decoder, for messages.
    """

    level: Any
    needs_torch: ClassVar[str] = (
        "predicts by its own `{}`, which needs torch; return a decoder of `mtl_lightning.decoding` from `decoder`, and "
        "what that reads from `outputs`"
    )

    def outputs(self, logits: Any, mask: Tensor | None) -> dict[str, Tensor]:
        """What ``decoder`` reads, by name, each [B, ...]: by default the logits, of the ``tokens`` level ``mask`` too.

        It is a part of the model that is exported: operations on tensors alone, without a loop over their values.

        Args:
            logits: What ``forward`` returned.
            mask: True at real positions [B, L], for tasks of the ``tokens`` level.
        """
        if hasattr(logits, "_asdict"):
            return dict(logits._asdict())
        return {"logits": logits, **({"mask": mask} if self.level == "tokens" and mask is not None else {})}

    def decoder(self) -> Decoder:
        """What makes predictions of ``outputs``, with label names and thresholds, without torch.

        Raises:
            UserError: If there is none; ``decode`` does it all then.
        """
        raise self._alone("decode")

    def portable_decoder(self) -> Decoder:
        """The decoder of a model that is exported: it must do all that ``decode`` and ``place`` do.

        Raises:
            UserError: If it does not, since a subclass replaces one of them alone.
        """
        methods = (
            name for owner in type(self).__mro__ for name in ("decode", "place", "decoder") if name in vars(owner)
        )
        if (latest := next(methods)) != "decoder":
            raise self._alone(latest)
        return self.decoder()

    def decode(self, logits: Any, mask: Tensor | None) -> list[dict[str, Any]]:
        """Predictions of B examples, each a JSON-like dict with label(s) and probability.

        Args:
            logits: What ``forward`` returned.
            mask: True at real positions [B, L], for tasks of the ``tokens`` level.
        """
        outputs = self.outputs(logits, mask)
        return self.decoder().decode({name: as_array(tensor) for name, tensor in outputs.items()})

    @property
    def places(self) -> bool:
        """Whether ``place`` adds something to a prediction."""
        if type(self).place is not Decoded.place:
            return True
        return type(self).decoder is not Decoded.decoder and type(self.decoder()).place is not Decoder.place

    def place(self, decoded: dict[str, Any], words: InputWords) -> dict[str, Any]:
        """One prediction beside its input, as its decoder places it.

        Args:
            decoded: What ``decode`` made of one example.
            words: All words of the input, also those that the encoder cut off.
        """
        return self.decoder().place(decoded, words) if type(self).decoder is not Decoded.decoder else decoded

    def placer(self) -> Callable[[dict[str, Any], InputWords], dict[str, Any]]:
        """``place`` for many predictions: its decoder is made once."""
        own = type(self).place is not Decoded.place or type(self).decoder is Decoded.decoder
        return self.place if own else self.decoder().place

    @property
    def draws(self) -> bool:
        """Whether ``drawn`` makes images of predictions."""
        return type(self).drawn is not Decoded.drawn

    def drawn(self, decoded: dict[str, Any]) -> Drawn:
        """A prediction as an image; by default, it is none.

        Args:
            decoded: What ``decode`` made of one example.
        """
        raise NotImplementedError

    def check_predicts(self) -> None:
        """Raises :class:`UserError` if the task says nowhere how it predicts."""
        if type(self).decode is Decoded.decode and type(self).decoder is Decoded.decoder:
            raise UserError(f"{type(self).__name__} makes no predictions; define `decoder`, or `decode`")

    def _alone(self, method: str) -> UserError:
        return UserError(f"{type(self).__name__} {self.needs_torch.format(method)}")


def as_array(values: Tensor) -> np.ndarray[Any, Any]:
    """The values on the CPU; NumPy has no bfloat16, which becomes float32."""
    values = values.detach().cpu()
    array: np.ndarray[Any, Any] = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return array
