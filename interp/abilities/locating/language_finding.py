"""LanguageFinding: which neurons serve which language, against chance, and what they are for."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.errors import CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance

SCHEMA = "interp.language-neurons/1"


@dataclass(frozen=True, kw_only=True)
class LanguageFinding:
    """Language neurons of one model by LAPE; the set of languages compared decides who they are.

    A neuron shared by two relatives has entropy ln 2: a close relative more, neurons fewer.
    """

    languages: tuple[str, ...]
    share: float
    """Of all MLP neurons, that are chosen."""
    percentile: float
    """Of all rates of all neurons in all languages, that is the bar."""
    bar: float
    """The rate that a neuron must exceed in a language to be one of its neurons."""
    threshold: float | None
    """Highest entropy chosen, in nats; None where no neuron is."""
    n_tokens: Int[np.ndarray, " language"]
    """Tokens that the rates are over."""
    rates: Float[np.ndarray, "language layer neuron"]
    """Share of a language's tokens on which a neuron is on."""
    entropy: Float[np.ndarray, "layer neuron"]
    member: Bool[np.ndarray, "language layer neuron"]
    null_found: Int[np.ndarray, " draws"]
    """Neurons at or below the threshold when documents carry a random language's name."""
    p_value: float
    """Share of draws that find as many, (1 + those) / (1 + draws)."""
    whole: Float[np.ndarray, " language"]
    """Bits a character on held-out documents of each language, the model as it is."""
    ablated: Float[np.ndarray, "language language"]
    """The same with one language's neurons at zero: row the ablated, column the one read."""
    random: Float[np.ndarray, "random_draws language language"]
    """The same with random neurons at zero, as many in every layer."""
    n_characters: Int[np.ndarray, " language"]
    """Characters of the held-out documents read."""
    provenance: Provenance

    @property
    def chosen(self) -> Bool[np.ndarray, "layer neuron"]:
        """Neurons of at least one language."""
        return np.asarray(self.member.any(axis=0))

    @property
    def harm(self) -> Float[np.ndarray, "language language"]:
        """Bits a character lost to the ablation, beyond what random neurons cost on average."""
        return self.ablated - self.random.mean(axis=0)

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write the finding as a directory."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        header = {
            "languages": list(self.languages),
            **{name: getattr(self, name) for name in _NUMBERS},
            "provenance": asdict(self.provenance),
        }
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path) -> "LanguageFinding":
        """Open a finding. CorruptFile where a part is missing."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            parts: dict[str, Any] = {name: header[name] for name in _NUMBERS}
            parts |= {name: arrays[name] for name in _ARRAYS}
            return cls(
                languages=tuple(header["languages"]),
                provenance=Provenance.from_json(header["provenance"]),
                **parts,
            )
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"the header of {path} lacks or garbles {error}") from error

    def to_json(self) -> dict[str, Any]:
        """All but the arrays over neurons, as JSON values."""
        return {
            "languages": list(self.languages),
            **{name: getattr(self, name) for name in _NUMBERS},
            "n_tokens": self.n_tokens.tolist(),
            "n_neurons": int(self.entropy.size),
            "n_chosen": int(self.chosen.sum()),
            "neurons": {
                name: by_layer.sum(axis=1).tolist()
                for name, by_layer in zip(self.languages, self.member, strict=True)
            },
            "null_found_mean": float(self.null_found.mean()),
            "null_draws": len(self.null_found),
            "bits_per_character": {
                "whole": self.whole.tolist(),
                "ablated": self.ablated.tolist(),
                "random_mean": self.random.mean(axis=0).tolist(),
                "random_draws": len(self.random),
            },
        }


_NUMBERS = ("share", "percentile", "bar", "threshold", "p_value")
_ARRAYS = (
    *("n_tokens", "rates", "entropy", "member", "null_found"),
    *("whole", "ablated", "random", "n_characters"),
)
