"""How a data set is divided into episodes."""

from dataclasses import dataclass, replace

from mtl_lightning.data.episodes.form import Form
from mtl_lightning.errors import UserError


@dataclass(frozen=True)
class Episodes:
    """Draws small tasks from a data set: a support set to learn from, a query set to be judged by.

    With ``ways``, an episode is N-way K-shot: N classes are drawn, and K + Q examples of each. Without, it is K
    examples and Q others. Examples are drawn without replacement within an episode; episodes are independent. With
    ``support``, support sets come from other data sets: what an inner loop learns there has to help here.

    Args:
        shots: K, examples of each class in the support set; without ``ways``, examples of it; with ``support``, of
            each of these data sets.
        queries: Q, the same of the query set.
        ways: N, classes of an episode, values of the label of the data set's few-shot task; null: no classes.
        within: Column whose value all examples of an episode share, such as an alphabet, a user or ``task_id``; null:
            they may be any.
        per_epoch: Episodes of an epoch, if the schedule follows the data; null: as many as have the examples of one
            pass.
        evaluated: Episodes of an evaluation, the same ones each time; metrics come with 95 % intervals over them. 0:
            none; an evaluation sees each example once, and nothing adapts.
        eval_shots: K of an evaluation; null: the same as in training.
        eval_queries: Q of an evaluation; null: the same.
        eval_ways: N of an evaluation; null: the same.
        support: Data sets that support sets are drawn from, K examples of each; null: this one.
        support_tasks: Tasks by whose labels an inner loop adapts, by the mean of their losses; null: each query set's
            own task.
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
    support: list[str] | None = None
    support_tasks: list[str] | None = None

    def __post_init__(self) -> None:
        least = {"shots": 1, "queries": 1, "ways": 2, "per_epoch": 1, "evaluated": 0}
        least |= {f"eval_{name}": least[name] for name in ("shots", "queries", "ways")}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                hint = "; without examples there is nothing to learn from" if name.endswith("shots") else ""
                raise UserError(f"data.episodes: `{name}` must be at least {smallest}, found {value}{hint}")

        if self.evaluated == 1:
            raise UserError("data.episodes: `evaluated` must be at least 2, or 0 for none, found 1")
        if self.eval_ways is not None and self.ways is None:
            raise UserError("data.episodes: `eval_ways` needs `ways`, the number of classes in training")
        self._check_support()

    def _check_support(self) -> None:
        for name in ("support", "support_tasks"):
            given = getattr(self, name)
            if given is not None and len(set(given)) != max(len(given), 1):
                raise UserError(f"data.episodes: `{name}` must name at least one, and none twice, found {given}")
        for name in ("ways", "within"):
            if self.support is not None and getattr(self, name) is not None:
                raise UserError(
                    f"data.episodes: `support` does not go with `{name}`, by which support and query set have "
                    "something in common; leave one of them out"
                )
        if self.ways is not None and self.support_tasks is not None:
            raise UserError("data.episodes: with `ways` a support set has the query set's task; drop `support_tasks`")
        if self.ways is not None and not self.evaluated:
            raise UserError("data.episodes: with `ways` an evaluation needs episodes; `evaluated` must be at least 2")

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
        support = 0 if self.support is not None else self.shots * classes
        return Form(support, self.queries * classes, self.ways or 0, tuple(self.support_tasks or ()))

    @property
    def needed(self) -> int:
        """Examples of a class, or of all, that an episode needs of the data set itself."""
        return self.queries + (self.shots if self.support is None else 0)
