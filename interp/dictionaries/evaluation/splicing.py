"""What a model loses when a contestant's reconstruction stands where the site's own value was."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import Corpus, TokenBatch
from interp.dictionaries.evaluation.contestants import Contestant
from interp.interventions import Intervention, intervened, splice, zero
from interp.results.errors import BadInput, Unsupported
from interp.results.sequence_sums import ROWS, SequenceSums, Totals

_LOGITS_AT_ONCE = 1 << 23

Predicted = Literal["all", "last"]
"""Which next tokens count: all text, or the last of every sequence, for a model that was trained
on answers alone."""


class Sites(NamedTuple):
    """Where a dictionary reads and where what it makes belongs: one site unless a transcoder's."""

    source: str
    target: str


class TokenMasks(NamedTuple):
    """Of a batch, on the device of the model."""

    tokens: Int[Tensor, "batch pos"]
    replaced: Bool[Tensor, "batch pos"]
    """Text tokens (and special ones if asked), never padding."""
    predicted: Bool[Tensor, "batch next"]
    """Which next tokens count."""


@torch.no_grad()
def spliced_losses(
    bridge: TransformerBridge,
    corpus: Corpus,
    contestants: Sequence[Contestant],
    sites: Sites,
    mean_row: Float[Tensor, " d_out"],
    *,
    n_tokens: int,
    specials: bool,
    predicted: Predicted,
    device: torch.device,
    advance: Callable[..., None] = lambda *_: None,
) -> dict[str, SequenceSums]:
    """By contestant, sums over predicted tokens of every sequence, in nats.

    `clean`, `spliced`, `zero`, `mean` are −ln of the true next token; `kl_*` the divergence from
    the clean distribution. Sequences are read in order until `n_tokens` are read; `advance` counts
    those. Raises Unsupported where editing the site changes nothing.
    """
    sums = {contestant.key: SequenceSums() for contestant in contestants}
    felt, left = False, n_tokens
    for batch in _batches(bridge, corpus, n_tokens):
        masks = _masks(bridge, batch, specials, predicted)
        shared = {
            "zero": zero(sites.target, where=masks.replaced),
            "mean": _mean_ablation(sites.target, mean_row, masks),
        }
        clean = _logits(bridge, batch, masks)
        ablated = {name: _against(clean, _logits(bridge, batch, masks, edit), masks)
                   for name, edit in shared.items()}  # fmt: skip
        felt = felt or bool((ablated["zero"]["kl"] != 0).any())
        sequence = np.repeat(batch.sequence, masks.predicted.sum(1).cpu().numpy())
        for contestant in contestants:
            edit = _spliced(contestant, sites, masks, device)
            spliced = _against(clean, _logits(bridge, batch, masks, edit), masks)
            sums[contestant.key].update(sequence, _named(spliced, ablated))
        # The last batch may hold more than was asked for.
        read = min(int(batch.attention_mask.sum()), left)
        left -= read
        advance(read)
    if not felt:
        raise Unsupported(
            f"zeros at {sites.target} change no prediction of this model: its hook is only there "
            "to be read, so nothing can be spliced in. Evaluate without the model"
        )
    return sums


def splicing_measures(totals: Totals) -> dict[str, Float[np.ndarray, " draws"]]:
    """The measures of MEASURES that sums of `spliced_losses` give."""
    n = totals[ROWS]
    clean, spliced = totals["clean"], totals["spliced"]
    return {
        "loss_recovered": _recovered(totals["zero"], spliced, clean),
        "loss_recovered_from_mean": _recovered(totals["mean"], spliced, clean),
        "ce_clean": clean / n,
        "ce_spliced": spliced / n,
        "ce_mean": totals["mean"] / n,
        "ce_zero": totals["zero"] / n,
        "kl_spliced": totals["kl_spliced"] / n,
        "kl_mean": totals["kl_mean"] / n,
        "kl_zero": totals["kl_zero"] / n,
    }


def _recovered(
    ablated: Float[np.ndarray, " draws"],
    spliced: Float[np.ndarray, " draws"],
    clean: Float[np.ndarray, " draws"],
) -> Float[np.ndarray, " draws"]:
    """NaN where the ablation costs nothing: there is no loss to recover."""
    gap = ablated - clean
    return np.where(gap > 0, ablated - spliced, np.nan) / np.where(gap > 0, gap, 1.0)


def refuse_without_losses(bridge: TransformerBridge) -> None:
    """Unsupported for a model that does not predict the next token; BadInput in training mode."""
    config: Any = bridge.original_model.config
    name = type(bridge.original_model).__name__
    if config.is_encoder_decoder or "MaskedLM" in name:
        raise Unsupported(f"a {name} has no next-token loss to recover: evaluate without the model")
    if bridge.original_model.training:
        raise BadInput("the model is in training mode, where dropout is random: call model.eval()")


def _batches(bridge: TransformerBridge, corpus: Corpus, n_tokens: int) -> Iterator[TokenBatch]:
    d_vocab = int(bridge.cfg.d_vocab)
    most = min(64, _LOGITS_AT_ONCE // (corpus.length * d_vocab), -(-n_tokens // corpus.length))
    size = max(1, most)
    read = 0
    for batch in corpus.batches(size):
        yield batch
        read += int(batch.attention_mask.sum())
        if read >= n_tokens:
            return


def _masks(
    bridge: TransformerBridge, batch: TokenBatch, specials: bool, predicted: Predicted
) -> TokenMasks:
    longest = int(batch.attention_mask.sum(1).max())
    mask, special = batch.attention_mask[:, :longest], batch.special[:, :longest]
    device = next(bridge.original_model.parameters()).device
    counted = (mask & ~special)[:, 1:]
    if predicted == "last":
        after = np.cumsum(counted[:, ::-1], axis=1)[:, ::-1]
        counted = counted & (after == 1)
    arrays = (batch.tokens[:, :longest], mask if specials else mask & ~special, counted)
    return TokenMasks(*(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays))


def _logits(
    bridge: TransformerBridge, batch: TokenBatch, masks: TokenMasks, *edits: Intervention
) -> Float[Tensor, "batch next d_vocab"]:
    longest = masks.tokens.shape[1]
    mask = torch.from_numpy(batch.attention_mask[:, :longest].astype(np.int64))
    padded = {} if bool(mask.all()) else {"attention_mask": mask.to(masks.tokens.device)}
    with intervened(bridge, edits):
        return bridge(masks.tokens, return_type="logits", **padded)[:, :-1]


def _against(
    clean: Float[Tensor, "batch next d_vocab"],
    changed: Float[Tensor, "batch next d_vocab"],
    masks: TokenMasks,
) -> dict[str, Float[np.ndarray, " predicted"]]:
    """KL and both losses of every predicted token, in float64, some positions at a time."""
    target = masks.tokens[:, 1:]
    step = max(1, _LOGITS_AT_ONCE // (8 * max(clean.shape[0] * clean.shape[-1], 1)))
    pieces: list[Tensor] = []
    for start in range(0, clean.shape[1], step):
        part = slice(start, start + step)
        log_p = clean[:, part].double().log_softmax(-1)
        log_q = changed[:, part].double().log_softmax(-1)
        place = target[:, part, None]
        pieces.append(
            torch.stack(
                [
                    (log_p.exp() * (log_p - log_q)).sum(-1),
                    -log_p.gather(-1, place)[..., 0],
                    -log_q.gather(-1, place)[..., 0],
                ]
            )
        )
    kl, before, after = torch.cat(pieces, dim=2)[:, masks.predicted].cpu().numpy()
    return {"kl": kl, "clean": before, "changed": after}


def _named(
    spliced: dict[str, np.ndarray], ablated: dict[str, dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    return {
        "clean": spliced["clean"],
        "spliced": spliced["changed"],
        "kl_spliced": spliced["kl"],
        **{name: values["changed"] for name, values in ablated.items()},
        **{f"kl_{name}": values["kl"] for name, values in ablated.items()},
    }


def _spliced(
    contestant: Contestant, sites: Sites, masks: TokenMasks, device: torch.device
) -> Intervention:
    def output(value: Tensor) -> Float[Tensor, "rows d_out"]:
        return contestant.code(_as_rows(value, masks).float().to(device)).output

    def in_place(value: Tensor) -> Tensor:
        return output(value).reshape(value.shape)

    def across(value: Tensor) -> Tensor:
        return output(value).reshape(*masks.tokens.shape, -1)

    if sites.source == sites.target:
        return splice(sites.target, in_place, where=masks.replaced)
    return splice(sites.target, across, reads=sites.source, where=masks.replaced)


def _as_rows(value: Tensor, masks: TokenMasks) -> Float[Tensor, "rows d"]:
    """One row a token, whatever the trailing axes (heads) and whether positions are flattened."""
    return value.reshape(masks.tokens.numel(), -1)


def _mean_ablation(site: str, row: Float[Tensor, " d_out"], masks: TokenMasks) -> Intervention:
    def replace(value: Tensor) -> Tensor:
        entry = value.shape[2:] if value.shape[:2] == masks.tokens.shape else value.shape[1:]
        return row.to(value).reshape(entry).expand_as(value)

    return splice(site, replace, where=masks.replaced)
