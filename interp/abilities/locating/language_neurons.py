"""Language neurons: MLP neurons that are on for few languages, by activation probability entropy.

LAPE (arXiv 2402.16438): the rates at which a neuron is on in every language are normalised to a
distribution over languages; a neuron of low entropy serves few of them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.errors import BadInput

SHARE = 0.01
PERCENTILE = 0.95


class LanguageNeurons(NamedTuple):
    """The neurons chosen, and for which languages."""

    entropy: Float[np.ndarray, "layer neuron"]
    """In nats, 0 for one language alone to ln K for all K alike."""
    bar: float
    """The rate that a neuron must exceed in a language to be one of its neurons."""
    threshold: float
    """The highest entropy chosen; NaN where no neuron was."""
    chosen: Bool[np.ndarray, "layer neuron"]
    member: Bool[np.ndarray, "language layer neuron"]
    """Whose neurons the chosen are; one may serve several languages."""


def rate_entropy(
    rates: Float[np.ndarray, "language layer neuron"],
) -> Float[np.ndarray, "layer neuron"]:
    """−Σ_k p'_k ln p'_k with p' = p / Σ_k p (arXiv 2402.16438, section 2.2), in nats.

    0 for a neuron that is never on, which the rate bar takes out.
    """
    total = rates.sum(axis=0)
    share = rates / np.where(total > 0, total, 1.0)
    logs = np.log(np.where(share > 0, share, 1.0))
    return -(share * logs).sum(axis=0)


def rate_bar(
    rates: Float[np.ndarray, "language layer neuron"], percentile: float = PERCENTILE
) -> float:
    """The rate of rank round(percentile · N · K), ascending, of all neurons in all languages."""
    flat = rates.reshape(-1)
    rank = min(max(round(percentile * flat.size), 1), flat.size)
    return float(np.partition(flat, rank - 1)[rank - 1])


def language_neurons(
    rates: Float[np.ndarray, "language layer neuron"],
    *,
    share: float = SHARE,
    percentile: float = PERCENTILE,
) -> LanguageNeurons:
    """The `share` of all neurons with the lowest entropy, of those above the bar in a language.

    Ties go to the lower layer and index. A neuron belongs to every language in which its rate is
    above the bar. Fewer than the share are chosen if fewer pass the bar.
    """
    entropy, bar = rate_entropy(rates), rate_bar(rates, percentile)
    above = rates > bar
    ranked = np.where(above.any(axis=0), entropy, np.inf).reshape(-1)
    lowest = np.argsort(ranked, kind="stable")[: round(share * ranked.size)]
    lowest = lowest[np.isfinite(ranked[lowest])]
    chosen = np.zeros(ranked.size, dtype=bool)
    chosen[lowest] = True
    chosen = chosen.reshape(entropy.shape)
    threshold = float(ranked[lowest].max()) if lowest.size else float("nan")
    return LanguageNeurons(entropy, bar, threshold, chosen, above & chosen)


class PermutationNull(NamedTuple):
    """How many neurons pass for language neurons when texts carry a random language's name."""

    found: Int[np.ndarray, " draws"]
    """In each draw, neurons above the draw's bar whose entropy is at most the real threshold."""
    p_value: float
    """Share of draws that find as many as were chosen, (1 + those) / (1 + draws)."""


def permuted_languages(
    active: Int[np.ndarray, "language block layer neuron"],
    tokens: Int[np.ndarray, "language block"],
    real: LanguageNeurons,
    *,
    draws: int,
    percentile: float = PERCENTILE,
    rng: np.random.Generator,
) -> PermutationNull:
    """The same count with blocks of whole documents dealt to the languages at random.

    `active` counts the tokens of every block on which a neuron is on.
    """
    n_languages, n_blocks = tokens.shape
    flat, lengths = active.reshape(n_languages * n_blocks, -1), tokens.reshape(-1)
    found = np.empty(draws, dtype=np.int64)
    for draw in range(draws):
        dealt = rng.permutation(lengths.size).reshape(n_languages, n_blocks)
        counts = np.stack([flat[blocks].sum(axis=0) for blocks in dealt])
        rates = counts / lengths[dealt].sum(axis=1)[:, None]
        above = (rates > rate_bar(rates[:, None], percentile)).any(axis=0)
        found[draw] = (above & (rate_entropy(rates[:, None])[0] <= real.threshold)).sum()
    n_chosen = int(real.chosen.sum())
    return PermutationNull(found, float((1 + (found >= n_chosen).sum()) / (1 + draws)))


def check_rates(rates: Float[np.ndarray, "language layer neuron"]) -> None:
    """Raise BadInput unless there are two languages or more to compare."""
    if len(rates) < 2:
        raise BadInput(
            f"language neurons compare languages, and there is {len(rates)}: "
            "give the text of two or more, as --text LANGUAGE=FILE each"
        )
