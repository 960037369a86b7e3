"""How a data set is divided into episodes."""

from dataclasses import dataclass, replace

from mtl_lightning.data.episodes.form import Form
from mtl_lightning.errors import UserError


@dataclass(frozen=True)
class Episodes:
    """Draws small tasks from a data set: a support set to learn from, a query set to be judged by.

    With ``ways``, an episode is N-way K-shot: N classes are drawn, and K + Q examples of each. Without, it is K
    examples and Q others. Examples are drawn without replacement within an episode; episodes are independent.

    Args:
        shots: K, examples of each class in the support set; without ``ways``, examples of it.
        queries: Q, the same of the query set.
        ways: N, classes of an episode, values of the label of the data set's few-shot task; null: no classes.
        within: Column whose value all examples of an episode share, such as an alphabet, a user or ``task_id``; null:
            they may be any.
        per_epoch: Episodes of an epoch, if the schedule follows the data; null: as many as have the examples of one
            pass.
        evaluated: Episodes of an evaluation, the same ones each time; metrics come with 95 % intervals over them.
        eval_shots: K of an evaluation; null: the same as in training.
        eval_queries: Q of an evaluation; null: the same.
        eval_ways: N of an evaluation; null: the same.
    """

    shots: int
    queries: int
    ways: int | None = None
    within: str | None = None
    per_epoch: int | None = None
    evaluated: int = 600
    eval_shots: int | None = None
    eval_queries: int | None = None
    eval_ways: int | None = None

    def __post_init__(self) -> None:
        least = {"shots": 1, "queries": 1, "ways": 2, "per_epoch": 1, "evaluated": 2}
        least |= {f"eval_{name}": least[name] for name in ("shots", "queries", "ways")}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                hint = "; without examples there is nothing to learn from" if name.endswith("shots") else ""
                raise UserError(f"data.episodes: `{name}` must be at least {smallest}, found {value}{hint}")

        if self.eval_ways is not None and self.ways is None:
            raise UserError("data.episodes: `eval_ways` needs `ways`, the number of classes in training")

    @property
    def in_evaluation(self) -> "Episodes":
        """What an episode of an evaluation is."""
        return replace(
            self,
            shots=self.eval_shots or self.shots,
            queries=self.eval_queries or self.queries,
            ways=self.eval_ways or self.ways,
        )

    @property
    def form(self) -> Form:
        """The order of rows."""
        classes = self.ways or 1
        return Form(self.shots * classes, self.queries * classes, self.ways or 0)

    @property
    def needed(self) -> int:
        """Examples of a class, or of all, that an episode needs."""
        return self.shots + self.queries
