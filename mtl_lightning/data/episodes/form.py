"""How the rows of a batch of episodes are ordered."""

from collections.abc import Iterator
from typing import NamedTuple


class Form(NamedTuple):
    """The rows of a batch: episode after episode, each its support set and then its query set.

    Support sets that other data sets give are in batches of their own. With classes, either set has the examples of the
    first class first, then those of the second, and so on.

    Attributes:
        support: Number of rows of a support set.
        queries: Number of rows of a query set.
        ways: Number of classes; 0: the rows are of no particular classes.
        support_tasks: Names of the tasks whose labels support sets give; none: that of the query set.
    """

    support: int
    queries: int
    ways: int = 0
    support_tasks: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of rows of an episode."""
        return self.support + self.queries

    def parts(self, num_rows: int) -> Iterator[tuple[slice, slice]]:
        """Support and query rows of each episode.

        >>> list(Form(support=1, queries=2).parts(6))
        [(slice(0, 1, None), slice(1, 3, None)), (slice(3, 4, None), slice(4, 6, None))]
        """
        for start in range(0, num_rows, self.size):
            middle = start + self.support
            yield slice(start, middle), slice(middle, start + self.size)

    def places(self, num_rows: int) -> list[int]:
        """The number of each row's class in its episode.

        >>> Form(support=2, queries=4, ways=2).places(6)
        [0, 1, 0, 0, 1, 1]
        """
        one = [
            way for rows in (self.support, self.queries) for way in range(self.ways) for _ in range(rows // self.ways)
        ]
        return one * (num_rows // self.size)
