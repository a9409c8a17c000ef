"""Cause: what a model still finds in haystacks when its retrieval heads write nothing."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.ablation.matching import matched_groups
from interp.heads.ablation.replacing import heads_ablated
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.columns import Head
from interp.heads.retrieval.decoding import decode
from interp.heads.retrieval.hits import recall
from interp.heads.retrieval.masked import RetrievalMasking
from interp.heads.retrieval.run import Haystacks
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput
from interp.results.intervals import paired_bootstrap
from interp.results.progress import progress
from interp.results.provenance import Provenance


def mask_retrieval(
    bridge: TransformerBridge,
    scores: HeadScores,
    haystacks: Haystacks,
    *,
    k: int = 10,
    draws: int = 20,
    batch_size: int = 8,
    seed: int = 0,
) -> RetrievalMasking:
    """Recall of needles with the `k` best heads zeroed, beside `draws` random groups.

    arXiv 2404.15574, section 4, masks random heads that do not retrieve; ours are of the same
    layers, and where a layer has too few others, of all its heads. Haystacks should not be those
    that the heads were chosen on.
    """
    geometry = HeadGeometry.of(bridge)
    heads = tuple(scores.top("retrieval", k))
    if len(heads) < k:
        raise BadInput(f"{k} heads asked for and {len(heads)} tested: ask for fewer")
    rng = np.random.default_rng(seed)
    groups = matched_groups(
        heads, n_heads=geometry.n_heads, draws=draws, avoid=heads, rng=rng
    ).groups
    if not groups:
        raise BadInput(f"no other {k} heads of the same layers: ask for fewer")
    with progress("masking heads", total=2 + len(groups), unit="groups") as advance:

        def found(group: Sequence[Head]) -> Float[np.ndarray, " runs"]:
            values = _recalls(geometry, haystacks, group, batch_size)
            advance()
            return values

        plain, masked = found(()), found(heads)
        random = np.stack([found(group) for group in groups])
    return RetrievalMasking(
        heads=heads,
        plain=plain,
        masked=masked,
        random=random,
        drop=paired_bootstrap(plain, masked, rng=rng),
        p=float((1 + (random.mean(axis=1) <= masked.mean()).sum()) / (1 + len(random))),
        provenance=Provenance.collect(
            "interp.heads.retrieval.mask_retrieval",
            model_hash=scores.provenance.model_hash,
            corpus_hash=haystacks.hash,
            seed=seed,
            settings={"k": k, "draws": len(groups), "kind": haystacks.kind},
        ),
    )


def _recalls(
    geometry: HeadGeometry, haystacks: Haystacks, heads: Sequence[Head], batch_size: int
) -> Float[np.ndarray, " runs"]:
    def run() -> Float[np.ndarray, " runs"]:
        decoded = decode(
            geometry,
            haystacks.rows,
            max_new_tokens=haystacks.max_new_tokens,
            ends=haystacks.ends,
            batch_size=batch_size,
        )
        return np.array([recall(one) for one in decoded])

    if not heads:
        return run()
    with heads_ablated(geometry.bridge, heads, "zero"):
        return run()
