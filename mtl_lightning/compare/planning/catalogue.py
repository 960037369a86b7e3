"""What a comparison must know of the weightings before torch is imported: their names, and what to search.

A test holds this table to the classes themselves, and the names of joint outputs to theirs.
"""

from dataclasses import dataclass
from typing import Any, Literal

from mtl_lightning.errors import UserError, did_you_mean

Family = Literal["loss", "gramian", "jacobian"]


JOINT_OUTPUTS = ("Formula", "Mean", "Product")
"""Links of ``model.chain`` that make a task's output of other tasks' alone."""


@dataclass(frozen=True)
class Range:
    """Numbers to search.

    Attributes:
        low: The least.
        high: The greatest.
        log: Whether orders of magnitude are alike, rather than differences.
        default: What a method takes where the config says nothing; None: not known.
    """

    low: float
    high: float
    log: bool = False
    default: float | None = None

    def holds(self, value: Any) -> bool:
        """Whether a value is among them."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def at(self, share: float) -> float:
        """The value at a share, 0 to 1, of the way from the least to the greatest."""
        if self.log:
            return self._rounded(self.low ** (1 - share) * self.high**share)
        return self._rounded(self.low + share * (self.high - self.low))

    def _rounded(self, value: float) -> float:
        """A whole number where both ends are."""
        return round(value) if isinstance(self.low, int) and isinstance(self.high, int) else value


@dataclass(frozen=True)
class Choice:
    """Values to search; of a method's own option the first one is its default."""

    values: tuple[Any, ...]

    @property
    def default(self) -> Any:
        """What a method takes where the config says nothing."""
        return self.values[0]

    def holds(self, value: Any) -> bool:
        """Whether a value is among them."""
        return value in self.values

    def at(self, share: float) -> Any:
        """The value at a share, 0 to 1, of the way from the first to the last."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]


Space = dict[str, Range | Choice]
"""What to search, by key of the config (for a weighting's own options: by their name)."""


@dataclass(frozen=True)
class Entry:
    """A weighting: what it sees, and which of its options a search varies (around what its paper tried).

    Attributes:
        family: Its base class.
        options: To search.
        batches: Of how many it sees the gradients in a step.
        plain: Whether they are those at the parameters as they are.
    """

    family: Family
    options: Space
    batches: int = 1
    plain: bool = True


def _loss(**options: Range | Choice) -> Entry:
    return Entry("loss", options)


def _gramian(**options: Range | Choice) -> Entry:
    return Entry("gramian", options)


def _jacobian(**options: Range | Choice) -> Entry:
    return Entry("jacobian", options)


WEIGHTINGS: dict[str, Entry] = {
    "EqualWeighting": _loss(),
    "ScaleInvariantWeighting": _loss(),
    "UncertaintyWeighting": _loss(initial_log_variance=Range(-1.0, 1.0, default=0.0)),
    "DWA": _loss(temperature=Range(0.5, 5.0, log=True, default=2.0)),
    "RLW": _loss(distribution=Choice(("normal", "dirichlet"))),
    "COSMOS": _loss(cosine=Range(0.0, 2.0, default=0.2)),
    "GLS": _loss(),
    "IMTLL": _loss(),
    "STCH": _loss(mu=Range(0.1, 10.0, log=True, default=1.0)),
    "UWSO": _loss(temperature=Range(0.1, 100.0, log=True, default=1.0)),
    "IGB": _loss(),
    "GO4Align": _loss(step_size=Range(1e-5, 1e-2, log=True, default=1e-4)),
    "LDCMTL": _loss(lam=Range(1e-3, 0.5, log=True, default=0.05)),
    "CoBa": _loss(tau=Range(1.0, 10.0, log=True, default=5.0)),
    "FAMO": _loss(
        learning_rate=Range(1e-3, 0.1, log=True, default=0.025), gamma=Range(1e-4, 1e-2, log=True, default=1e-3)
    ),
    "GradNorm": _gramian(alpha=Range(0.1, 3.0, default=1.5)),
    "MGDA": _gramian(normalization=Choice(("none", "l2", "loss", "loss+"))),
    "PCGrad": _gramian(),
    "GradVac": _gramian(beta=Range(1e-3, 0.5, log=True, default=1e-2)),
    "CAGrad": _gramian(c=Range(0.1, 0.9, default=0.5)),
    "IMTLG": _gramian(),
    "IMTL": _gramian(),
    "NashMTL": _gramian(max_norm=Choice((1.0, None))),
    "AlignedMTL": _gramian(scale_mode=Choice(("min", "median", "rmse"))),
    "FairGrad": _gramian(alpha=Range(0.5, 5.0, log=True, default=1.0)),
    "UPGrad": _gramian(),
    "DualProj": _gramian(),
    "ConFIG": _gramian(),
    "CRMOGM": _gramian(alpha=Range(0.5, 0.99, default=0.9)),
    "FSMTL": Entry("gramian", {"rho": Range(1e-3, 0.5, log=True, default=0.05)}, plain=False),
    "SAMO": Entry("gramian", {"rho": Range(1e-4, 0.1, log=True, default=1e-3)}, plain=False),
    "MoDo": Entry("gramian", {"gamma": Range(1e-4, 0.1, log=True, default=1e-3)}, batches=3),
    "SDMGrad": Entry("gramian", {"lam": Range(0.1, 1.0, log=True, default=0.3)}, batches=3),
    "AutoLambda": Entry("gramian", {"learning_rate": Range(1e-5, 1e-2, log=True, default=1e-4)}, batches=2),
    "MOML": Entry("gramian", {"learning_rate": Range(1e-4, 0.1, log=True, default=1e-3)}, batches=2),
    "FORUM": Entry("gramian", {"rho": Range(0.01, 1.0, log=True, default=0.1)}, batches=2),
    "GradDrop": _jacobian(leak=Range(0.0, 0.9, default=0.0)),
    "MoCo": _jacobian(gamma=Range(0.01, 1.0, log=True, default=0.1)),
    "DBMTL": _jacobian(beta=Range(0.5, 0.99, default=0.9)),
    "SAMGS": _jacobian(gamma=Range(0.1, 0.95, default=0.7)),
    "ExcessMTL": _jacobian(robust_step_size=Range(1e-3, 0.1, log=True, default=1e-2)),
}
"""Every method that needs no argument, by class name."""

FIXED = "FixedWeighting"
WITH_ARGUMENTS = {"PIVRG": "baselines"}
"""Gramian methods that need an argument, and which."""
WEIGHT = Range(0.1, 10.0, log=True, default=1.0)
"""Where a search for fixed weights looks for the weight of each task, before they are scaled to a mean of 1."""


def class_name(name: str) -> str:
    """The class of a weighting that was named loosely.

    Args:
        name: Its class, in any case, with or without ``Weighting``, with or without punctuation; or an import path.

    Raises:
        UserError: If there is none.

    >>> class_name("nash-mtl"), class_name("equal"), class_name("mine.Own")
    ('NashMTL', 'EqualWeighting', 'mine.Own')
    """
    if "." in name:
        ours, _, bare = name.rpartition(".")
        return bare if ours.startswith("mtl_lightning.weighting") and bare in WEIGHTINGS else name
    known = {_bare(cls): cls for cls in WEIGHTINGS}
    if _bare(name) in known:
        return known[_bare(name)]
    if _bare(name) == _bare(FIXED):
        raise UserError("weightings: fixed weights must be tuned: `--tune N` adds them, tuned like all others")
    for cls, argument in WITH_ARGUMENTS.items():
        if _bare(name) == _bare(cls):
            way = f"--variant '{_bare(cls)}={{model.weighting: {cls}, model.weighting.{argument}: …}}'"
            raise UserError(f"weightings: {cls} needs `{argument}`; compare it as a variant: {way}")
    hint = "separate names by commas: equal,upgrad" if " " in name.strip() else did_you_mean(name, (*known, "all"))
    raise UserError(f"weightings: no weighting is called '{name}'; {hint}")


def short_name(cls: str) -> str:
    """What a contestant is called.

    >>> short_name("EqualWeighting"), short_name("NashMTL"), short_name("mine.Own")
    ('equal', 'nashmtl', 'Own')
    """
    return _bare(cls) if cls in WEIGHTINGS else cls.rsplit(".", 1)[-1]


def _bare(name: str) -> str:
    letters = "".join(letter for letter in name.lower() if letter.isalnum())
    return letters.removesuffix("weighting") or letters
