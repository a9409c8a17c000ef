"""What zeroing all inactive neurons does to perplexity, and the θ at which it rises by a share."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import Corpus, TokenBatch
from interp.interventions import Intervention, intervened, splice
from interp.neurons.sparsity.sources import token_batches
from interp.neurons.sparsity.stats import Perplexity
from interp.results.errors import BadInput, Unsupported
from interp.results.sequence_sums import ROWS, SequenceSums, Totals, bootstrap

Active = Callable[[Float[Tensor, "rows neurons"]], Bool[Tensor, "rows neurons"]]
_STEPS = 10


@torch.no_grad()
def perplexity_rise(
    bridge: TransformerBridge,
    corpus: Corpus,
    active: Mapping[str, Active],
    *,
    max_tokens: int,
    seed: int = 0,
    draws: int = 2000,
) -> Perplexity:
    """Loss of the model as it is and with every neuron that is not active set to 0, in all sites.

    Special tokens are neither predicted nor changed. Raises Unsupported for a model that does not
    predict the next token, BadInput where no token is predicted.
    """
    refuse_without_next_token(bridge)
    sums = SequenceSums()
    for batch in token_batches(corpus, max_tokens=max_tokens):
        text = torch.from_numpy(batch.attention_mask & ~batch.special)
        edits = [_zeroing(site, rule, text) for site, rule in active.items()]
        clean, changed = (_losses(bridge, batch, text, made) for made in ([], edits))
        sequence = np.repeat(batch.sequence, text[:, 1:].sum(1).numpy())
        sums.update(sequence, {"clean": clean, "changed": changed})
    of = sums.finish()
    n = int(of.column(ROWS).sum()) if len(of.sums) else 0
    if n == 0:
        raise BadInput("no token is predicted: sequences hold one token of text or none")
    rise = bootstrap(of, _rise, rng=np.random.default_rng(seed), draws=draws)["rise"]
    return Perplexity(
        rise=rise,
        loss=float(of.column("clean").sum()) / n,
        loss_changed=float(of.column("changed").sum()) / n,
        n_tokens=n,
        n_sequences=len(of.sums),
    )


def theta_for_rise(rise_at: Callable[[float], float], *, rise: float) -> float:
    """The largest θ of a bisection at which perplexity rises by at most `rise` (0.01 is 1%).

    2402.03804 settles on 1%. Ten steps in [0, 1]: θ to 1e-3. Raises BadInput where even the
    smallest step raises it more.
    """
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if rise_at(middle) <= rise else (low, middle)
    if low == 0.0:
        raise BadInput(f"no share of the output can be dropped at a perplexity rise of {rise:.2%}")
    return low


def refuse_without_next_token(bridge: TransformerBridge) -> None:
    """Unsupported for encoders and encoder-decoders: they have no perplexity of a text."""
    name = type(bridge.original_model).__name__
    config: Any = bridge.original_model.config
    if config.is_encoder_decoder or "MaskedLM" in name:
        raise Unsupported(f"a {name} has no next-token loss: leave the perplexity out")


def _rise(totals: Totals) -> dict[str, Float[np.ndarray, " draws"]]:
    return {"rise": np.expm1((totals["changed"] - totals["clean"]) / totals[ROWS])}


def _zeroing(site: str, active: Active, where: Bool[Tensor, "batch pos"]) -> Intervention:
    def replace(value: Tensor) -> Tensor:
        rows = value.reshape(-1, value.shape[-1])
        return rows.masked_fill(~active(rows.float()), 0.0).reshape(value.shape)

    return splice(site, replace, where=where)


def _losses(
    bridge: TransformerBridge, batch: TokenBatch, text: Tensor, edits: list[Intervention]
) -> Float[np.ndarray, " predicted"]:
    device = next(bridge.original_model.parameters()).device
    tokens = torch.from_numpy(batch.tokens).to(device)
    mask = torch.from_numpy(batch.attention_mask.astype(np.int64)).to(device)
    padded = {} if bool(mask.all()) else {"attention_mask": mask}
    with intervened(bridge, edits):
        logits = bridge(tokens, return_type="logits", **padded)[:, :-1]
    predicted = text[:, 1:].to(device)
    # Sums are in float64; logits are as wide as the vocabulary, too wide for another copy in it.
    losses = cross_entropy(logits[predicted].float(), tokens[:, 1:][predicted], reduction="none")
    return losses.cpu().double().numpy()
