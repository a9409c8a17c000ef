"""Measuring: accuracy and loss of every item while some neurons are disturbed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy
from transformer_lens.model_bridge import TransformerBridge

from interp.interventions import intervened
from interp.interventions.running import watched
from interp.models.sites import UnknownSite
from interp.modules.perturbation.items import FunctionItem, functions_of
from interp.modules.perturbation.modes import Disturbed, SiteEstimates, disturb
from interp.modules.perturbation.targets import Units
from interp.results.errors import BadInput

_ROWS_TO_RESAMPLE = 2048
_TOKENS_AT_ONCE = 4096
"""Of a forward pass: logits are as wide as the vocabulary, and neurons are summed in float64."""


class ItemBatch(NamedTuple):
    """Items of one function and one length: nothing is padded, and no function mixes with others.

    In a mixed batch a shuffle would carry activity from one function into another.
    """

    function: str
    item: Int[np.ndarray, " batch"]
    """Their numbers among the items."""
    tokens: Int[Tensor, "batch pos"]
    predicted: Bool[Tensor, "batch next"]
    """Which of tokens 1, 2, ... count."""
    text: Bool[Tensor, "batch pos"]
    """False on special tokens, which are never disturbed."""


class ItemScores(NamedTuple):
    """How a model does on each item, given the true tokens before each predicted one."""

    accuracy: Float[np.ndarray, " items"]
    """Share of the answer's tokens that are the likeliest; NaN for items without an answer."""
    loss: Float[np.ndarray, " items"]
    """Mean negative log-probability of the answer's tokens, or of all of a plain text; nats."""


def item_batches(
    items: Sequence[FunctionItem], *, batch_size: int, special_ids: Sequence[int] = ()
) -> list[ItemBatch]:
    """Items in batches, function by function in the order of the items.

    A batch has at most `batch_size` items and 4096 tokens.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for function in functions_of(items):
        for number, item in enumerate(items):
            if item.function == function:
                groups.setdefault((function, len(item.tokens)), []).append(number)
    return [
        _batch(items, function, numbers[start : start + at_once], special_ids)
        for (function, length), numbers in groups.items()
        for at_once in [min(batch_size, max(1, _TOKENS_AT_ONCE // length))]
        for start in range(0, len(numbers), at_once)
    ]


def measure(
    bridge: TransformerBridge,
    batches: Sequence[ItemBatch],
    items: Sequence[FunctionItem],
    *,
    units: Units | None = None,
    mode: str = "mean",
    scale: float = 1.0,
    estimates: dict[str, SiteEstimates] | None = None,
    seed: Sequence[int] = (0,),
) -> ItemScores:
    """Scores of every item with `units` disturbed, or of the model as it is without them.

    A random mode draws by `seed` and the batch's number, whatever was measured before.
    """
    accuracy, loss = np.full(len(items), np.nan), np.full(len(items), np.nan)
    for number, batch in enumerate(batches):
        edits = [
            disturb(mode, _at(batch, site, chosen, estimates or {}, scale, [*seed, number, draw]))
            for place, (site, chosen) in enumerate((units or {}).items())
            # Resampled layers come from the same tokens: a generator with the same seed at each.
            for draw in [0 if mode == "resample" else place]
            if len(chosen)
        ]
        accuracy[batch.item], loss[batch.item] = scored(bridge, batch, edits)
    answered = np.array([item.has_answer for item in items])
    return ItemScores(np.where(answered, accuracy, np.nan), loss)


def estimate(
    bridge: TransformerBridge,
    sites: Sequence[str],
    batches: Sequence[ItemBatch],
    *,
    keep_rows: bool = False,
) -> dict[str, SiteEstimates]:
    """Mean, SD and mean absolute activation of every neuron over text tokens, by site.

    `keep_rows` keeps up to 2048 tokens of each function to resample from.
    """
    sums: dict[str, Float[Tensor, "3 _"]] = {}
    rows: dict[str, dict[str, list[Tensor]]] = {site: {} for site in sites}
    n = 0
    for batch in batches:
        n += int(batch.text.sum())
        for site, value in _seen(bridge, batch, sites).items():
            total = torch.stack([value.sum(0), value.square().sum(0), value.abs().sum(0)])
            sums[site] = sums[site] + total if site in sums else total
            if keep_rows:
                kept = rows[site].setdefault(batch.function, [])
                room = _ROWS_TO_RESAMPLE - sum(len(part) for part in kept)
                kept.append(value[: max(room, 0)].float())
    if n == 0:
        raise BadInput("the validation items hold special tokens only: nothing can be estimated")
    return {
        site: SiteEstimates(
            mean=(total[0] / n).float(),
            sd=(total[1] / n - (total[0] / n).square()).clamp(min=0).sqrt().float(),
            mass=(total[2] / n).float(),
            rows={function: torch.cat(kept) for function, kept in rows[site].items()},
        )
        for site, total in sums.items()
    }


def _batch(
    items: Sequence[FunctionItem], function: str, numbers: list[int], special_ids: Sequence[int]
) -> ItemBatch:
    chosen = [items[number] for number in numbers]
    tokens = torch.tensor([item.tokens for item in chosen])
    place = torch.arange(1, tokens.shape[1])
    start = torch.tensor([item.answer_start for item in chosen])[:, None]
    end = torch.tensor([item.answer_end for item in chosen])[:, None]
    return ItemBatch(
        function=function,
        item=np.array(numbers),
        tokens=tokens,
        predicted=(place >= start) & (place < end),
        text=~torch.isin(tokens, torch.tensor(sorted(special_ids), dtype=tokens.dtype)),
    )


def _at(
    batch: ItemBatch,
    site: str,
    chosen: np.ndarray,
    estimates: dict[str, SiteEstimates],
    scale: float,
    seed: Sequence[int],
) -> Disturbed:
    own = int(np.random.SeedSequence([*seed]).generate_state(1)[0])
    return Disturbed(
        site=site,
        units=torch.from_numpy(np.asarray(chosen, np.int64)),
        estimates=estimates[site],
        function=batch.function,
        where=batch.text,
        scale=scale,
        generator=Generator().manual_seed(own),
    )


@torch.no_grad()
def scored(
    bridge: TransformerBridge, batch: ItemBatch, edits: Sequence
) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, " batch"]]:
    device = next(bridge.original_model.parameters()).device
    tokens = batch.tokens.to(device)
    with intervened(bridge, edits):
        logits = bridge(tokens, return_type="logits")[:, :-1]
    wanted, counted = tokens[:, 1:], batch.predicted.to(device)
    n = counted.sum(1)
    hit = (logits.argmax(-1) == wanted) & counted
    nats = cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none")
    loss = (nats.reshape(wanted.shape).double() * counted).sum(1) / n
    return (hit.sum(1).double() / n).cpu().numpy(), loss.cpu().numpy()


@torch.no_grad()
def _seen(
    bridge: TransformerBridge, batch: ItemBatch, sites: Sequence[str]
) -> dict[str, Float[Tensor, "rows _"]]:
    """What each site holds at the text tokens, in float64 on the CPU."""
    points = bridge.hook_dict
    found: dict[str, Tensor] = {}

    def keeping(site: str) -> Callable[[Tensor], None]:
        def keep(value: Tensor) -> None:
            flat = value.flatten(0, 1) if value.shape[:2] == batch.text.shape else value
            if flat.ndim != 2 or len(flat) != batch.text.numel():
                raise BadInput(f"{site} holds {tuple(value.shape)}: no row of neurons a token")
            found[site] = flat[batch.text.flatten().to(flat.device)].double().cpu()

        return keep

    for site in sites:
        if site not in points:
            raise UnknownSite(site, points)
    device = next(bridge.original_model.parameters()).device
    with watched([(points[site], keeping(site)) for site in sites]):
        bridge(batch.tokens.to(device), return_type=None)
    return found
