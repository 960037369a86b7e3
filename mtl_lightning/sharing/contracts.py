"""What a sharing needs of an encoder, in words of torch alone; :class:`mtl_lightning.encoders.Encoder` is one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from torch import Tensor, nn

Inputs = Mapping[str, Tensor]
"""An encoder's inputs, each [B, ...]."""

Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]
"""What activations are computed in, and recomputed in: the ``context_fn`` of ``torch.utils.checkpoint``."""


class Representation(Protocol):
    """What a head reads; see :class:`mtl_lightning.encoders.Representation`."""

    @property
    def pooled(self) -> Tensor | None: ...

    @property
    def tokens(self) -> Tensor | None: ...

    @property
    def mask(self) -> Tensor | None: ...

    def _replace(self, **changes: Any) -> Self: ...


class State(Protocol):
    """What runs through the stages of an encoder; see :class:`mtl_lightning.encoders.State`."""

    @property
    def hidden(self) -> Tensor: ...

    @property
    def context(self) -> Any: ...

    def _replace(self, **changes: Any) -> Self: ...


class Compilable(Protocol):
    """A module that ``torch.compile`` takes."""

    def compile(self, *args: Any, **kwargs: Any) -> None: ...


class Encoder(Compilable, Protocol):
    """Inputs → representation, whole or in stages; see :class:`mtl_lightning.encoders.Encoder`."""

    features: int
    channel_axis: int
    pretrained: bool
    processor: Any

    @property
    def stages(self) -> Sequence[nn.Module]: ...

    @property
    def widths(self) -> Sequence[int]: ...

    def __call__(self, inputs: Any) -> Any: ...

    def begin(self, inputs: Any) -> Any: ...

    def end(self, state: Any) -> Any: ...

    def pool(self, state: Any) -> Tensor: ...

    def recompute_in(self, contexts: Contexts | None) -> None: ...

    @property
    def token_width(self) -> int: ...

    def prepend(self, inputs: Any, vector: Tensor) -> Any: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def modules(self) -> Iterator[nn.Module]: ...
