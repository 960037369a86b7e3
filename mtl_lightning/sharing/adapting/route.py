"""Whose adapters an encoder goes through."""

from contextlib import AbstractContextManager, nullcontext


class Route:
    """The task whose adapters take part in what the encoder computes; none of them outside of ``of``.

    It is a plain attribute, not a thread's: activations are recomputed in the backward pass, which has another thread
    on a GPU.
    """

    def __init__(self) -> None:
        self.task: str | None = None

    def of(self, task: str | None) -> AbstractContextManager[None]:
        """A context, to be entered any number of times, in which a task's adapters take part."""
        return _Leg(self, task)

    def again(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """The ``context_fn`` of ``torch.utils.checkpoint``: what is recomputed takes the route that it took before."""
        return nullcontext(), self.of(self.task)


class _Leg(AbstractContextManager[None]):
    def __init__(self, route: Route, task: str | None) -> None:
        self._route, self._task = route, task
        self._before: list[str | None] = []

    def __enter__(self) -> None:
        self._before.append(self._route.task)
        self._route.task = self._task

    def __exit__(self, *error: object) -> None:
        self._route.task = self._before.pop()
