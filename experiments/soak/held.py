"""What a process holds; the module imports little, so that little is held besides what is measured."""

import os
from pathlib import Path

_FROM_SYSTEM = {"resident": "Rss", "proportional": "Pss", "anonymous": "Anonymous"}


def held() -> dict[str, int]:
    """Of this process: bytes of memory, and numbers of open descriptors and of child processes."""
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    system = {key.rstrip(":"): int(size) * 1024 for key, size, *_ in lines}
    children = sum(len((task / "children").read_text().split()) for task in Path("/proc/self/task").iterdir())
    counts = {"descriptors": len(os.listdir("/proc/self/fd")) - 1, "children": children}
    return {name: system[entry] for name, entry in _FROM_SYSTEM.items()} | counts
