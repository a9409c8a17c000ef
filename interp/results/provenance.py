"""Provenance: what makes the same bytes again."""

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = (
    *("interp", "torch", "transformers", "transformer-lens", "sae-lens"),
    *("numpy", "h5py", "safetensors"),
)


def package_versions() -> dict[str, str]:
    """Version of Python and of every package that can change a number. Imports none of them."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What made a result. No clock and no path that decides nothing: same inputs, same bytes."""

    command: str
    """The call that made it, for a person to repeat: `interp ability locate ...`."""
    model_hash: str | None
    """Root hash of weights and config (never of the path); None where no model took part."""
    corpus_hash: str | None
    """Hash of the tokens as fed, or of what determines them; None where no text took part."""
    seed: int | None
    """None where nothing is random."""
    versions: dict[str, str]
    settings: dict[str, Any]
    """Every resolved argument that can change the result; JSON values only."""

    @classmethod
    def collect(
        cls,
        command: str,
        *,
        model_hash: str | None,
        corpus_hash: str | None,
        seed: int | None,
        settings: dict[str, Any],
    ) -> "Provenance":
        """A provenance with the versions of this environment."""
        return cls(
            command=command,
            model_hash=model_hash,
            corpus_hash=corpus_hash,
            seed=seed,
            versions=package_versions(),
            settings=settings,
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Provenance":
        """The inverse of `to_json`; unknown keys are dropped, a missing one raises KeyError."""
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})
