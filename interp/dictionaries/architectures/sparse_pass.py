"""The losses of the TopK kinds through the sparse arithmetic, as sae-lens has them."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from sae_lens.saes.sae import TrainingSAE, TrainStepOutput
from sae_lens.saes.topk_sae import TopKTrainingSAE
from torch import Tensor

from interp.dictionaries.sparse.decoder import Bags, Decode
from interp.dictionaries.sparse.encoder import Dead, EncoderGradient, Found, find
from interp.dictionaries.sparse.ranks import ONE_PROCESS, Ranks
from interp.dictionaries.sparse.selection import Selector
from interp.results.errors import Unsupported

_IN_PLACE_NORMALIZATIONS = ("constant_norm_rescale", "layer_norm")
"""Applied to each row inside the dictionary; the others are folded into its weights."""


def goes_sparse(sae: TopKTrainingSAE, x: Tensor) -> bool:
    """Whether the sparse pass covers this step; sae-lens's own dense pass takes the rest.

    It leaves out hooks (which may look at dense activations), normalisation inside the dictionary,
    half precision and autocast, and inputs of other than two axes. Raises Unsupported where several
    processes would have to share a dense selection.
    """
    reason = _why_dense(sae)
    if reason is None and torch.is_autocast_enabled(x.device.type):
        reason = "autocast"
    if reason is None and x.ndim != 2:
        reason = f"a batch of {x.ndim} axes"
    if reason is not None:
        _refuse_several(sae, reason, getattr(sae, "ranks", ONE_PROCESS))
    return reason is None


def refuse_local_selection(sae: TrainingSAE[Any], ranks: Ranks) -> None:
    """Unsupported where `sae` would choose over each process's rows alone.

    sae-lens's dense BatchTopK knows only the rows of its own process, and so would its threshold.
    """
    if not isinstance(sae, BatchTopKTrainingSAE):
        return
    reason = _why_dense(sae) if hasattr(sae, "ranks") else "the dense pass of its class"
    if reason is not None:
        _refuse_several(sae, reason, ranks)


def _why_dense(sae: TopKTrainingSAE) -> str | None:
    """The option of a dictionary that the sparse pass leaves out; None where there is none."""
    if any(hook.fwd_hooks or hook.bwd_hooks for hook in sae.hook_dict.values()):
        return "a hook on the dictionary"
    if sae.dtype not in (torch.float32, torch.float64):
        return f"dtype={sae.cfg.dtype}"
    if sae.cfg.normalize_activations in _IN_PLACE_NORMALIZATIONS:
        return f"normalize_activations={sae.cfg.normalize_activations}"
    if getattr(sae.cfg, "use_matryoshka_aux_loss", False):
        return "use_matryoshka_aux_loss=true"
    return None


def _refuse_several(sae: TopKTrainingSAE, reason: str, ranks: Ranks) -> None:
    if ranks.n_rows_global(1) > 1:
        raise Unsupported(
            f"{sae.cfg.architecture()} with {reason} would choose on each process's rows alone: "
            "train it with one process, or without that"
        )


class Reconstructed(NamedTuple):
    """What the features of one batch give back."""

    found: Found
    nested: list[Float[Tensor, "batch d_out"]]
    """One reconstruction a nested width; the last is that of all features."""
    by_dead: Float[Tensor, "batch d_out"] | None
    """What the dead features make of it, without b_dec."""
    dead: Dead | None


def reconstruct(
    sae: TopKTrainingSAE,
    x: Float[Tensor, "batch d_in"],
    selector: Selector,
    *,
    dead_mask: Bool[Tensor, " d_sae"] | None,
    d_target: int,
    widths: list[int] | None = None,
) -> Reconstructed:
    """Encode and decode a batch; gradients flow as through sae-lens's own pass."""
    with torch.no_grad():
        inputs = sae.process_sae_in(x)
        norms = sae.W_dec.norm(dim=-1) if sae.cfg.rescale_acts_by_decoder_norm else None
    dead = _dead(dead_mask, d_target)
    found = find(inputs, sae.W_enc, sae.b_enc, norms=norms, selector=selector, dead=dead)
    b_dec = sae.b_dec if sae.cfg.apply_b_dec_to_input else None
    values, dead_values = EncoderGradient.apply(inputs, sae.W_enc, sae.b_enc, b_dec, found, dead)  # type: ignore[misc]
    choice = found.choice
    if widths is None:
        bags, n_levels = Bags.rows(choice), 1
    else:
        edges = torch.tensor(widths, device=choice.features.device)
        bags, n_levels = Bags.nested(choice, edges), len(widths)
    features = None if dead is None else dead.features
    sums, by_dead = Decode.apply(values, dead_values, sae.W_dec, choice, bags, features)  # type: ignore[misc]
    levels = sums.view(choice.n_rows, n_levels, -1).unbind(dim=1)
    nested = []
    for level in levels:
        nested.append(level + (nested[-1] if nested else sae.b_dec))
    return Reconstructed(found, nested, by_dead, dead)


def _dead(mask: Tensor | None, d_target: int) -> Dead | None:
    """The dead, each row taking d/2 of them at most (arXiv 2406.04093, appendix A.2)."""
    if mask is None:
        return None
    features = mask.nonzero().squeeze(1)
    n_dead = features.numel()
    return Dead(features, min(d_target // 2, n_dead)) if n_dead else None


def squared_error(out: Tensor, target: Tensor) -> Float[Tensor, ""]:
    """Squared error summed over a row, mean over rows."""
    return (out - target).square().sum(dim=-1).mean()


def auxiliary_loss(
    sae: TopKTrainingSAE,
    pass_: Reconstructed,
    out: Float[Tensor, "batch d_out"],
    target: Float[Tensor, "batch d_out"],
) -> Float[Tensor, ""]:
    """AuxK: the squared error of the dead features' guess at what the others leave unexplained.

    coefficient * min(n_dead / (d/2), 1) * |by_dead - (target - out)|^2, the residual held fixed;
    sae-lens's form, without the division by the residual's variance of arXiv 2406.04093.
    """
    if pass_.by_dead is None or pass_.dead is None:
        return out.new_tensor(0.0)
    scale = min(pass_.dead.features.numel() / (target.shape[-1] // 2), 1.0)
    residual = (target - out).detach()
    return sae.cfg.aux_loss_coefficient * scale * squared_error(pass_.by_dead, residual)


def step_output(
    pass_: Reconstructed,
    *,
    out: Float[Tensor, "batch d_out"],
    target: Float[Tensor, "batch d_out"],
    losses: dict[str, Tensor],
) -> TrainStepOutput:
    """As sae-lens's trainer reads it; `hidden_pre` holds the chosen pre-activations alone."""
    found = pass_.found
    return TrainStepOutput(
        sae_in=target,
        sae_out=out.detach(),
        feature_acts=found.choice.to_coo(found.scaled),
        hidden_pre=found.scaled,
        loss=torch.stack(list(losses.values())).sum(),
        losses=losses,
    )
