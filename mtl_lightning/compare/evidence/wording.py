"""What texts call the runs of a contestant."""

import re

from mtl_lightning.compare.evidence.evidence import Evidence

_SEED = re.compile(r"\b([Ss])eed(s?)\b")


def worded(text: str, evidence: Evidence) -> str:
    """A text about seeds, which speaks of folds where runs differ by these."""
    if evidence.replicates == "seed":
        return text
    first, rest = evidence.replicates[0], evidence.replicates[1:]
    return _SEED.sub(lambda match: (first.upper() if match[1] == "S" else first) + rest + match[2], text)
