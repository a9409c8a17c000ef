"""Function vectors of the best heads, tested by adding them to prompts without demonstrations."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.evaluation.scoring import only_last
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.columns import Head
from interp.heads.cost import Part as CostPart
from interp.heads.cost import Say, stated, timed, to_standard_error
from interp.heads.function_vectors.effects import TaskEffects
from interp.heads.function_vectors.means import batches
from interp.heads.function_vectors.prompts import (
    Prompt,
    Shots,
    Template,
    draw_shots,
    encode_shots,
)
from interp.heads.function_vectors.vectors import FunctionVectors
from interp.heads.scores import HeadScores
from interp.interventions import intervened, splice
from interp.results.errors import BadInput, Unsupported
from interp.results.progress import progress
from interp.results.provenance import Provenance

_BATCH = 64


class _Answers(NamedTuple):
    """Of every question: whether the answer is the likeliest token, and its log-probability."""

    right: Float[np.ndarray, " questions"]
    log_probability: Float[np.ndarray, " questions"]


def function_vectors(
    bridge: TransformerBridge,
    scores: HeadScores,
    effects: Sequence[TaskEffects],
    *,
    k: int = 10,
    draws: int = 20,
    seed: int = 0,
    say: Say = to_standard_error,
) -> FunctionVectors:
    """The vector of the `k` best heads for every task, and its effect after each layer.

    Beside it: `draws` vectors of random heads of the same layers, and the chosen heads' vector over
    shuffled labels. Raises Unsupported where a norm stands between attention and the residual.
    """
    geometry = HeadGeometry.of(bridge)
    if geometry.output_scale_site(0) is not None:
        raise Unsupported(
            f"{geometry.name} has a norm between attention and the residual: what heads write does "
            "not add up to one vector there"
        )
    heads = tuple(scores.top("function_vector", k))
    if len(heads) < k:
        raise BadInput(f"{k} heads of {len(heads)}: ask for fewer")
    rng = np.random.default_rng(seed)
    others = [_random_heads(heads, geometry.n_heads, rng) for _ in range(draws)]
    settings = scores.settings["function_vector"]
    parts = _questions(bridge, effects, settings)
    say(_cost(geometry, parts, draws))
    total = len(effects) * geometry.n_layers * (draws + 2)
    with progress("adding vectors", total=total, unit="settings") as advance:
        measured = [
            _measure(geometry, one, part, heads=heads, others=others, advance=advance)
            for one, part in zip(effects, parts, strict=True)
        ]
    made = Provenance.collect(
        "interp.heads.function_vectors.function_vectors",
        model_hash=scores.provenance.model_hash,
        corpus_hash=scores.provenance.corpus_hash,
        seed=seed,
        settings={**settings, "k": k, "vector_draws": draws},
    )
    return FunctionVectors(
        tasks=tuple(one.prompts.name for one in effects),
        heads=heads,
        **{name: np.stack([one[name] for one in measured]) for name in measured[0]},
        n_asked=np.array([len(zero) for zero, _ in parts]),
        provenance=made,
    )


@torch.no_grad()
def written(
    geometry: HeadGeometry,
    outputs: Float[Tensor, "n_layers n_heads d_head"],
    heads: Sequence[Head],
) -> Float[Tensor, " d_model"]:
    """What `heads` together write into the residual: sum of z_h W_O, without the layers' b_O.

    The authors' code adds the bias of the projection once a head; a bias is no head's.
    """
    rows = [outputs[head].to(geometry.W_O(head.layer)) @ _w_o(geometry, head) for head in heads]
    return torch.stack(rows).sum(0)


def _w_o(geometry: HeadGeometry, head: Head) -> Float[Tensor, "d_head d_model"]:
    return geometry.W_O(head.layer)[head.head]


def _random_heads(heads: Sequence[Head], n_heads: int, rng: np.random.Generator) -> list[Head]:
    """As many heads of each layer, of those not chosen where there are enough."""
    drawn: list[Head] = []
    for layer in sorted({head.layer for head in heads}):
        own = {head.head for head in heads if head.layer == layer}
        free = [head for head in range(n_heads) if head not in own]
        pool = free if len(free) >= len(own) else list(range(n_heads))
        drawn += [Head(layer, int(h)) for h in rng.choice(pool, size=len(own), replace=False)]
    return drawn


def _questions(
    bridge: TransformerBridge, effects: Sequence[TaskEffects], settings: dict[str, Any]
) -> list[tuple[list[Prompt], list[Prompt]]]:
    """The held-out questions of every task: without demonstrations, and with right ones."""
    template, n_shots = Template(settings["template"]), settings["n_shots"]
    found = []
    for number, one in enumerate(effects):
        rng = np.random.default_rng([settings["seed"], number, 2])
        split = one.prompts.split
        shown = draw_shots(
            split.shown, split.held_out, n=len(split.held_out), n_shots=n_shots, rng=rng
        )
        alone = [Shots((), shots.asked) for shots in shown]
        assert bridge.tokenizer is not None
        zero, few = (encode_shots(s, template, bridge.tokenizer) for s in (alone, shown))
        found.append((zero, few))
    return found


def _measure(
    geometry: HeadGeometry,
    effects: TaskEffects,
    parts: tuple[list[Prompt], list[Prompt]],
    *,
    heads: Sequence[Head],
    others: Sequence[Sequence[Head]],
    advance: Any,
) -> dict[str, np.ndarray]:
    zero, few = parts
    shuffles = effects.donors[1:].mean(0)
    own = written(geometry, effects.donors[0], heads)
    vectors = [own, written(geometry, shuffles, heads)]
    vectors += [written(geometry, effects.donors[0], drawn) for drawn in others]
    grid = np.empty((2, len(vectors), geometry.n_layers))
    for row, vector in enumerate(vectors):
        for layer in range(geometry.n_layers):
            answers = _answers(geometry, zero, layer, vector)
            grid[:, row, layer] = answers.right.mean(), answers.log_probability.mean()
            advance()
    plain, shown = _answers(geometry, zero), _answers(geometry, few)
    return {
        "vectors": own.float().cpu().numpy().astype(np.float64),
        "accuracy": grid[0, 0],
        "log_probability": grid[1, 0],
        "shuffled_accuracy": grid[0, 1],
        "shuffled_log_probability": grid[1, 1],
        "random_accuracy": grid[0, 2:].T,
        "random_log_probability": grid[1, 2:].T,
        "plain_accuracy": plain.right.mean(),
        "plain_log_probability": plain.log_probability.mean(),
        "few_shot_accuracy": shown.right.mean(),
    }


@torch.no_grad()
def _answers(
    geometry: HeadGeometry,
    prompts: Sequence[Prompt],
    layer: int | None = None,
    vector: Float[Tensor, " d_model"] | None = None,
) -> _Answers:
    """Answers to `prompts`, with `vector` added after `layer` at the last token if one is given."""
    model: Any = geometry.bridge.original_model
    right, found = [], []
    for batch in batches(prompts, batch_size=_BATCH, device=geometry.device):
        last = torch.zeros_like(batch.seen, dtype=torch.bool)
        last[:, -1] = True
        edits = []
        if vector is not None:
            site = f"blocks.{layer}.hook_resid_post"
            edits = [splice(site, lambda residual: residual + vector.to(residual), where=last)]
        with intervened(geometry.bridge, edits):
            logits = model(
                input_ids=batch.tokens,
                attention_mask=batch.seen,
                position_ids=batch.position,
                use_cache=False,
                **only_last(model, 1),
            ).logits[:, -1]
        right.append((logits.argmax(-1) == batch.answers).double())
        log_probability = logits.double().log_softmax(-1)
        found.append(log_probability.gather(-1, batch.answers[:, None])[:, 0])
    return _Answers(torch.cat(right).cpu().numpy(), torch.cat(found).cpu().numpy())


def _cost(
    geometry: HeadGeometry, parts: Sequence[tuple[list[Prompt], list[Prompt]]], draws: int
) -> str:
    some = parts[0][0][:_BATCH]
    n = sum(len(zero) for zero, _ in parts) * geometry.n_layers * (draws + 2)
    each = timed(lambda: _answers(geometry, some)) / len(some)
    return stated("function vectors", [CostPart("prompts without demonstrations", n, each)])
