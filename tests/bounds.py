"""The direct dependencies: the releases that are installed, and those that are allowed. ``make lowest`` prints them."""

import platform
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def direct() -> list[Requirement]:
    """What the package and its extras ask for, other than the package itself."""
    extras = PROJECT["optional-dependencies"].values()
    asked = {Requirement(text) for texts in (PROJECT["dependencies"], *extras) for text in texts}
    return sorted((r for r in asked if r.name != PROJECT["name"]), key=lambda r: r.name.lower())


def installed(name: str) -> str:
    """Its release, if it is there: `timm` is in no environment of development, as torchvision has to fit torch."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


if __name__ == "__main__":
    print(f"Python {platform.python_version()}")
    for requirement in direct():
        print(f"{requirement.name:24}{installed(requirement.name):16}{requirement.specifier}")
