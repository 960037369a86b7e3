"""What is in the distributions: ``python -m tests.distributions FOLDER``, in a checkout with git.

The wheel holds the package as git knows it and its licence, the source distribution all that git knows but for what
only a checkout needs.
"""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
_WRITTEN = {"PKG-INFO", "setup.cfg"}  # by setuptools


def tracked() -> list[str]:
    """All files that git knows."""
    listing = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if name]


def wrong_in_wheel(found: Iterable[str], known: Iterable[str]) -> list[str]:
    """A line for each file that is missing or too much, given the names in the wheel."""
    inside, licences = set(), set()
    for name in found:
        if PurePosixPath(name).parts[0].endswith(".dist-info"):
            licences.update({name.partition("/licenses/")[2]} - {""})
        else:
            inside.add(name)
    return _differences("wheel", inside | licences, {n for n in known if n.startswith("mtl_lightning/")} | {"LICENSE"})


def wrong_in_source(found: Iterable[str], known: Iterable[str]) -> list[str]:
    """The same for the source distribution, whose names start with its folder."""
    inside = {name.partition("/")[2] for name in found} - _WRITTEN
    inside = {name for name in inside if not name.startswith("mtl_lightning.egg-info/")}
    return _differences("source distribution", inside, {name for name in known if not name.startswith(".")})


def _differences(what: str, found: set[str], wanted: set[str]) -> list[str]:
    missing = [f"the {what} lacks {name}" for name in sorted(wanted - found)]
    return missing + [f"the {what} holds {name}, which does not belong there" for name in sorted(found - wanted)]


def main(folder: Path) -> int:
    """Checks the one wheel and the one source distribution in a folder."""
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as zipped, tarfile.open(source) as packed:
        in_source = [member.name for member in packed.getmembers() if member.isfile()]
        wrong = wrong_in_wheel(zipped.namelist(), tracked()) + wrong_in_source(in_source, tracked())
    print(*wrong or [f"{wheel.name} and {source.name} hold what they must, and nothing else"], sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
