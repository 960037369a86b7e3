"""Groups of tasks that share what other tasks do not."""

from collections.abc import Sequence

from mtl_lightning.errors import UserError, did_you_mean, shown

Groups = Sequence[Sequence[str]]
"""Task names, each in one group."""


def groups_of(option: str, groups: Groups | None, tasks: Sequence[str]) -> list[tuple[str, ...]]:
    """The groups, each task in one.

    Args:
        option: Its name, for messages.
        groups: As configured; null: each task is one.
        tasks: Names of the K tasks.

    Raises:
        UserError: If they miss a task, have one twice or name one that is unknown, or a group is empty.

    >>> groups_of("groups", [["a", "c"], ["b"]], ["a", "b", "c"])
    [('a', 'c'), ('b',)]
    """
    if groups is None:
        return [(task,) for task in tasks]
    seen: list[str] = []
    for group in groups:
        if isinstance(group, str) or not group:
            raise UserError(f"model.sharing: `{option}` must hold lists of task names, found {shown(group)} in it")
        for name in group:
            if name not in tasks:
                raise UserError(
                    f"model.sharing: `{option}` names the unknown task '{name}'; {did_you_mean(name, tasks)}"
                )
            if name in seen:
                raise UserError(f"model.sharing: `{option}` names '{name}' twice; give each task one group")
            seen.append(name)
    if missing := [task for task in tasks if task not in seen]:
        raise UserError(
            f"model.sharing: `{option}` misses {', '.join(missing)}; add each to a group, or as one of its own: "
            f"[{missing[0]}]"
        )
    return [tuple(group) for group in groups]
