"""TrainingRecipe: everything that decides the weights of one dictionary."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interp.dictionaries.training.facts import SourceFacts
from interp.results.atomic import write_json
from interp.results.errors import BadInput, CorruptFile

SCHEMA = "interp.dictionary-recipe/1"
RECIPE = "recipe.json"
SCHEDULES = ("constant", "cosineannealing", "cosineannealingwarmrestarts")
NORMALIZATIONS = ("none", "expected_average_only_in", "layer_norm", "covariance_whitening")
ESTIMATED = ("expected_average_only_in", "covariance_whitening")
"""Normalisations with statistics that are estimated first and folded into the weights at last."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How all dictionaries of a run are trained; the names are sae-lens's where it has one."""

    n_steps: int
    batch_size: int
    """Rows of a step, over all ranks."""
    lr: float
    lr_end: float
    """Where a cosine ends; the decay after it goes on to 0."""
    lr_scheduler_name: str
    lr_warm_up_steps: int
    lr_decay_steps: int
    n_restart_cycles: int
    adam_beta1: float
    adam_beta2: float
    dead_feature_window: int
    """A feature that has not fired for more steps than this is dead."""
    normalize_activations: str
    n_batches_for_norm_estimate: int
    """At most; also for the mean that b_dec starts at."""
    b_dec: str
    """Where the decoder's bias starts: `zero`, or the `mean` of what is reconstructed."""
    seed: int
    buffer_bytes: int
    """Rows are shuffled within a buffer of this size."""
    log_every: int

    def __post_init__(self) -> None:
        _check_counts(self)
        _check_choices(self)
        if not (math.isfinite(self.lr) and self.lr > 0 and 0 <= self.lr_end <= self.lr):
            raise BadInput(f"lr {self.lr} to {self.lr_end}: a number above 0, ending at 0 to lr")
        held = self.n_steps - self.lr_warm_up_steps - self.lr_decay_steps
        if held < self.n_restart_cycles:
            raise BadInput(
                f"{self.n_steps} steps with {self.lr_warm_up_steps} of warm-up and "
                f"{self.lr_decay_steps} of decay leave {held} between them: ask for more tokens"
            )
        if self.lr_decay_steps and not self.lr_end:
            raise BadInput("lr_end is 0 and a decay from there goes nowhere: leave one of them out")

    @property
    def n_tokens(self) -> int:
        """Rows that training takes, a row as often as it comes."""
        return self.n_steps * self.batch_size


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """One dictionary to train; equal recipes end with equal weights."""

    name: str
    """Of its directory, where a run trains several."""
    architecture: str
    site: str
    site_out: str | None
    d_in: int
    d_out: int
    d_sae: int
    options: dict[str, Any]
    """Fields of the architecture's sae-lens config, as asked."""
    settings: TrainingSettings
    source: SourceFacts

    @property
    def sites(self) -> tuple[str, ...]:
        """What it reads: one site, or two for a transcoder."""
        return (self.site,) if self.site_out is None else (self.site, self.site_out)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"schema": SCHEMA, **asdict(self)}

    def save(self, directory: Path) -> None:
        """Write `recipe.json`."""
        write_json(directory / RECIPE, self.to_json())

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "TrainingRecipe":
        """The inverse of `to_json`; CorruptFile if it is none."""
        try:
            fields = {name: content[name] for name in cls.__dataclass_fields__}
            return cls(
                **{
                    **fields,
                    "settings": TrainingSettings(**fields["settings"]),
                    "source": SourceFacts(**fields["source"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"a recipe lacks or garbles {error}: train again") from error

    @classmethod
    def load(cls, directory: Path) -> "TrainingRecipe":
        """The recipe beside a dictionary; BadInput where there is none."""
        file = directory / RECIPE
        if not file.is_file():
            raise BadInput(f"{directory} holds no {RECIPE}: it was not trained here")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise CorruptFile(f"{file} is not JSON ({error})") from error
        return cls.from_json(content)


def differences(one: TrainingRecipe, other: TrainingRecipe) -> list[str]:
    """`name is A there and B here` for everything in which two recipes differ.

    What the source is called decides nothing.
    """
    old, new = _flat(one.to_json()), _flat(other.to_json())
    return [
        f"{name} is {old.get(name, 'absent')!r} there and {new.get(name, 'absent')!r} here"
        for name in old | new
        if old.get(name) != new.get(name) and name != "source.name"
    ]


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": held for inner, held in _flat(value).items()}
        else:
            flat[name] = value
    return flat


def _check_counts(settings: TrainingSettings) -> None:
    for name in ("n_steps", "batch_size", "n_restart_cycles", "n_batches_for_norm_estimate"):
        _at_least(settings, name, 1)
    for name in ("log_every", "buffer_bytes", "dead_feature_window"):
        _at_least(settings, name, 1)
    for name in ("lr_warm_up_steps", "lr_decay_steps", "seed"):
        _at_least(settings, name, 0)
    for name in ("adam_beta1", "adam_beta2"):
        if not 0 <= getattr(settings, name) < 1:
            raise BadInput(f"{name} is {getattr(settings, name)}: at least 0 and below 1")


def _at_least(settings: TrainingSettings, name: str, least: int) -> None:
    if getattr(settings, name) < least:
        raise BadInput(f"{name} is {getattr(settings, name)}: at least {least}")


def _check_choices(settings: TrainingSettings) -> None:
    for name, choices in (
        ("lr_scheduler_name", SCHEDULES),
        ("normalize_activations", NORMALIZATIONS),
        ("b_dec", ("zero", "mean")),
    ):
        value = getattr(settings, name)
        if value not in choices:
            raise BadInput(f"{name} is {value!r}: give one of {', '.join(choices)}")
