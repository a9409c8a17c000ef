"""The recipes of a run: every combination of sites, widths and sparsities, checked at the door."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from interp.dictionaries.architectures import architectures, make
from interp.dictionaries.training.facts import SourceFacts
from interp.dictionaries.training.recipe import TrainingRecipe, TrainingSettings
from interp.results.errors import BadInput, Unsupported

_SET_ELSEWHERE = ("d_in", "d_out", "d_sae", "device", "metadata")


def recipes(
    *,
    widths: Mapping[str, int],
    facts: SourceFacts,
    sites: Sequence[tuple[str, str | None]],
    arch: str,
    d_sae: Sequence[int],
    k: Sequence[int | float],
    options: Mapping[str, Any],
    settings: TrainingSettings,
) -> list[TrainingRecipe]:
    """One recipe for every combination; a list where an option takes one value is a sweep too.

    Raises BadInput for what the architecture does not take, with the nearest names.
    """
    known = {field.name for field in fields(architecture_named(arch).config_class)}
    if k and "k" not in known:
        takes = sorted(name for name in known if name.endswith("coefficient")) or sorted(known)
        raise BadInput(f"{arch} takes no k: give its sparsity as an option, {' or '.join(takes)}")
    if k and "k" in options:
        raise BadInput(f"k is given twice, {list(k)} and option k={options['k']!r}: give it once")
    swept = {"k": list(k)} if k else {}
    swept |= {name: value for name, value in options.items() if _is_sweep(arch, name, value)}
    single = {name: value for name, value in options.items() if name not in swept}
    found = []
    for (site, site_out), width, values in product(sites, d_sae, product(*swept.values())):
        chosen = dict(zip(swept, values, strict=True))
        found.append(
            TrainingRecipe(
                name=_name(site, width, chosen),
                architecture=arch,
                site=site,
                site_out=site_out,
                d_in=widths[site],
                d_out=widths[site_out or site],
                d_sae=width,
                options=_resolved(arch, width, {**single, **chosen}, settings),
                settings=settings,
                source=facts,
            )
        )
    return _without_twins(found)


def architecture_named(arch: str) -> Any:
    """The architecture of that name; BadInput lists them all."""
    known = architectures()
    if arch not in known:
        raise BadInput(f"no architecture is called {arch!r}: there are {', '.join(known)}")
    return known[arch]


def site_pairs(
    known: Sequence[str], sites: Sequence[str], sites_out: Sequence[str], *, arch: str
) -> list[tuple[str, str | None]]:
    """The sites that each dictionary reads; names may hold wildcards.

    Several output sites are paired with as many input sites, in order.
    """
    read = _expanded(known, sites)
    written = _expanded(known, sites_out)
    if not architecture_named(arch).reads_two_sites:
        if written:
            raise BadInput(f"{arch} reconstructs what it reads: --site-out is for transcoders")
        return [(site, None) for site in read]
    if not written:
        raise BadInput(f"{arch} reads one site and writes another: name that with --site-out")
    if len(written) == 1:
        written *= len(read)
    if len(written) != len(read):
        raise BadInput(f"{len(read)} sites and {len(written)} to write: give one, or as many")
    return list(zip(read, written, strict=True))


def _expanded(known: Sequence[str], patterns: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [site for site in known if fnmatchcase(site, pattern)]
        if not matching:
            near = get_close_matches(pattern, known, n=3) or known[:3]
            raise BadInput(f"there is no site {pattern!r}: the nearest are {', '.join(near)}")
        found |= dict.fromkeys(matching)
    return list(found)


def _is_sweep(arch: str, name: str, value: Any) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    default = {f.name: f for f in fields(architecture_named(arch).config_class)}.get(name)
    return default is None or "list" not in str(default.type).lower()


def _resolved(
    arch: str, d_sae: int, options: Mapping[str, Any], settings: TrainingSettings
) -> dict[str, Any]:
    """Every field of the config as a dictionary of this width would have it."""
    if "normalize_activations" in options:
        raise BadInput("normalize_activations is an option of the run: give it as --normalize")
    if d_sae < 1:
        raise BadInput(f"d_sae is {d_sae}: at least 1")
    normalize = settings.normalize_activations
    # One input unit: what can be refused is refused before the weights take memory.
    two = {"d_out": 1} if architecture_named(arch).reads_two_sites else {}
    trial = make(
        arch, d_in=1, d_sae=d_sae, seed=0, **two, **options, normalize_activations=normalize
    )
    if normalize == "layer_norm" and hasattr(trial, "calculate_topk_aux_loss"):
        raise Unsupported(
            f"{arch} cannot be trained with layer_norm: sae-lens's loss for dead features does not "
            "undo it; take expected_average_only_in"
        )
    return {
        field.name: getattr(trial.cfg, field.name)
        for field in fields(trial.cfg)
        if field.name not in _SET_ELSEWHERE
    }


def _name(site: str, d_sae: int, chosen: Mapping[str, Any]) -> str:
    return "-".join([site, f"d{d_sae}", *(f"{n}{_shown(value)}" for n, value in chosen.items())])


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _without_twins(found: list[TrainingRecipe]) -> list[TrainingRecipe]:
    names = [recipe.name for recipe in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"{twice} is asked for twice: leave one of the equal values out")
    if not found:
        raise BadInput("there is nothing to train: give a site and a d_sae")
    return found
