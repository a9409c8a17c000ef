"""Sites: hook names of a loaded model, each tensor once under its TransformerLens name.

A bridge knows one tensor by several names (`blocks.3.hook_out` is `blocks.3.hook_resid_post`);
any is accepted and one is kept. What a site holds is found out by running the model on a few
tokens, not by trusting its name. `*` stands for one part between dots, `**` for any number.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import prod

from transformer_lens.model_bridge import TransformerBridge

from interp.models.observation import Observed, observe
from interp.models.promises import broken_promise, no_token_axis
from interp.results.errors import InterpError, Unsupported

_IN_BLOCK = re.compile(r"((?:encoder_|decoder_)?blocks)\.(\d+)\.(.+)")

# Names of HookedTransformer first, in order of preference; then the bridge's that others use.
_PREFERRED = (
    *("hook_embed", "hook_pos_embed", "hook_resid_post", "hook_resid_mid", "hook_resid_mid2"),
    *("hook_resid_pre", "hook_attn_out", "hook_cross_attn_out", "hook_mlp_out"),
    *("attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_rot_q", "attn.hook_rot_k"),
    *("attn.hook_z", "mlp.hook_pre", "mlp.hook_pre_linear", "mlp.hook_post"),
    *("ln1.hook_scale", "ln1.hook_normalized", "ln2.hook_scale", "ln2.hook_normalized"),
    *("ln_final.hook_scale", "ln_final.hook_normalized", "hook_unembed"),
    *("mlp.hook_in", "attn.hook_in", "self_attn.hook_in", "ln_final.hook_out"),
)


class UnknownSite(InterpError):
    """A site name that matches no hook of the loaded model."""

    def __init__(self, site: str, available: Iterable[str]) -> None:
        names = sorted(available)
        near = get_close_matches(site, names, n=3) or names[:3]
        super().__init__(
            f"no hook matches {site!r}: this model has {len(names)} hooks, the nearest are "
            f"{', '.join(near)}. List them all with `interp model sites MODEL`."
        )


@dataclass(frozen=True, kw_only=True)
class Site:
    """One tensor of the forward pass with an entry for every token."""

    name: str
    stack: str | None
    """`blocks`, `encoder_blocks` or `decoder_blocks`; None outside of them."""
    layer: int | None
    shape: tuple[int, ...]
    """Of one token's entry."""
    flattened: bool
    """The model hands it out as (batch * pos, ...) and not (batch, pos, ...)."""
    aliases: tuple[str, ...]
    """The other names of the same tensor."""

    @property
    def width(self) -> int:
        """Numbers in one token's entry."""
        return prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class ResolvedSites:
    """What a set of patterns means on one model."""

    sites: tuple[Site, ...]
    """In the order of the forward pass, each tensor once."""
    absent_layers: dict[str, tuple[int, ...]]
    """Pattern -> layers of its stack where nothing matches."""
    refused: dict[str, str]
    """Names that a wildcard touched but that cannot be stored, with the reason."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sites."""
        return tuple(site.name for site in self.sites)


def available_sites(bridge: TransformerBridge) -> list[Site]:
    """Every tensor with an entry a token, once, in the order of the forward pass."""
    return list(_Catalogue(bridge).choose(None))


def resolve_sites(bridge: TransformerBridge, patterns: str | Sequence[str]) -> ResolvedSites:
    """The sites that `patterns` name on this model.

    Raises UnknownSite with near misses for a pattern that matches nothing, and Unsupported, with
    the right site or analysis, if all it matches lacks an entry a token (attention patterns) or
    does not hold what its name promises (`mlp.hook_post` of a mixture of experts).
    """
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    if not wanted:
        raise Unsupported("no site was asked for: name one, as blocks.*.hook_resid_post")
    catalogue = _Catalogue(bridge)
    matched: set[str] = set()
    absent: dict[str, tuple[int, ...]] = {}
    refused: dict[str, str] = {}
    for pattern in wanted:
        good = {name for name in catalogue.points if _matches(name, pattern)}
        bad = {n: why for n, why in catalogue.refused.items() if _matches(n, pattern)}
        if not good:
            if bad:
                raise Unsupported(next(iter(bad.values())))
            raise UnknownSite(pattern, [*catalogue.points, *catalogue.refused])
        matched |= good
        refused |= bad
        if "*" in pattern:
            absent[pattern] = catalogue.absent_layers(good)
    return ResolvedSites(
        sites=tuple(catalogue.choose(matched)),
        absent_layers={pattern: layers for pattern, layers in absent.items() if layers},
        refused=refused,
    )


def last_layer(names: Iterable[str]) -> int | None:
    """The last of `bridge.blocks` that must run for these sites; None if more than blocks must."""
    layers = []
    for name in names:
        stack, layer, _ = split_name(name)
        if stack == "blocks" and layer is not None:
            layers.append(layer)
        elif name.startswith(("hook_embed", "hook_pos_embed", "embed.", "pos_embed.")):
            layers.append(0)
        else:
            return None
    return max(layers, default=None)


def split_name(name: str) -> tuple[str | None, int | None, str]:
    """`blocks.3.mlp.hook_post` as `("blocks", 3, "mlp.hook_post")`."""
    match = _IN_BLOCK.fullmatch(name)
    return (match[1], int(match[2]), match[3]) if match else (None, None, name)


class _Catalogue:
    """Every name of a model's hooks: what can be stored, and why the rest cannot."""

    def __init__(self, bridge: TransformerBridge) -> None:
        self.points: dict[str, Observed] = {}
        self.refused: dict[str, str] = {}
        seen = observe(bridge)
        hooks = bridge.hook_dict
        for name, hook in hooks.items():
            observed = seen.get(id(hook))
            reason = no_token_axis(name, observed) or broken_promise(bridge, hooks, name)
            if reason:
                self.refused[name] = reason
            elif observed:
                self.points[name] = observed

    def choose(self, matched: set[str] | None) -> list[Site]:
        """One site a tensor: the best name among those of the hooks in `matched` (None: all)."""
        tensors: dict[object, list[str]] = {}
        for name, point in self.points.items():
            tensors.setdefault(point.tensor, []).append(name)
        sites = []
        for names in tensors.values():
            hooks = {self.points[n].hook for n in names if matched is None or n in matched}
            if hooks:
                best = min((n for n in names if self.points[n].hook in hooks), key=self._rank)
                sites.append((self.points[best].order, self._site(best, names)))
        return [site for _, site in sorted(sites, key=lambda pair: pair[0])]

    def absent_layers(self, names: set[str]) -> tuple[int, ...]:
        """Layers of the stacks that `names` touch in which none of them lies."""
        parts = [split_name(name) for name in names]
        stacks = {stack for stack, _, _ in parts if stack}
        has = {(stack, layer) for stack, layer, _ in parts}
        every = {split_name(n)[:2] for n in [*self.points, *self.refused]}
        missing = {layer for stack, layer in every - has if stack in stacks and layer is not None}
        return tuple(sorted(missing))

    def _rank(self, name: str) -> tuple[bool, int, int, str]:
        _, _, leaf = split_name(name)
        place = _PREFERRED.index(leaf) if leaf in _PREFERRED else len(_PREFERRED)
        return self.points[name].flattened, place, len(name), name

    def _site(self, name: str, names: list[str]) -> Site:
        stack, layer, _ = split_name(name)
        point = self.points[name]
        return Site(
            name=name,
            stack=stack,
            layer=layer,
            shape=point.shape,
            flattened=point.flattened,
            aliases=tuple(sorted(set(names) - {name})),
        )


def _matches(name: str, pattern: str) -> bool:
    return _match_parts(name.split("."), pattern.split("."))


def _match_parts(parts: list[str], wanted: list[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_match_parts(parts[i:], wanted[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and _match_parts(parts[1:], wanted[1:])
