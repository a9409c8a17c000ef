"""The vector is what its heads write, and adding it is held against random heads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.geometry import HeadGeometry
from interp.heads.columns import Head
from interp.heads.function_vectors.adding import function_vectors, written
from interp.heads.function_vectors.effects import TaskEffects
from interp.heads.function_vectors.score import score_function_vectors
from interp.heads.function_vectors.tasks import Pair, Task
from interp.heads.function_vectors.vectors import FunctionVectors
from interp.heads.scores import HeadScores
from interp.models.load import load
from interp.results.errors import CorruptFile, Unsupported

TEMPLATE = "w10 {input} w11 {output} w12 "
Scored = tuple[TransformerBridge, HeadScores, list[TaskEffects]]


def scored_on(directory: Path) -> Scored:
    bridge = load(directory, device="cpu")
    pairs = tuple(Pair(f"w{i}", f"w{i + 20}") for i in range(20, 36))
    found = score_function_vectors(
        bridge,
        [Task(name="next", pairs=pairs)],
        template=TEMPLATE,
        n_shots=3,
        n_donors=4,
        n_trials=3,
        donor_draws=2,
        say=lambda _: None,
    )
    return bridge, found.scores, found.effects


@pytest.fixture(scope="module")
def scored(model_directory: Callable[[str], Path]) -> Scored:
    return scored_on(model_directory("gpt2"))


@pytest.fixture(scope="module")
def found(scored: Scored) -> FunctionVectors:
    return function_vectors(*scored, k=3, draws=4, say=lambda _: None)


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox"])
def test_all_heads_of_a_layer_write_the_attention_output_without_its_bias(
    style: str, model_directory: Callable[[str], Path]
) -> None:
    geometry = HeadGeometry.of(load(model_directory(style), device="cpu"))
    with torch.no_grad():
        _, seen = geometry.bridge.run_with_cache(torch.tensor([[5, 9, 30, 7]]))
    outputs = torch.zeros(geometry.n_layers, geometry.n_heads, geometry.d_head)
    outputs[1] = seen[geometry.z_site(1)][0, -1]
    heads = [Head(1, head) for head in range(geometry.n_heads)]
    torch.testing.assert_close(
        written(geometry, outputs, heads) + geometry.b_O(1),
        seen[geometry.attn_out_site(1)][0, -1],
        atol=1e-5,
        rtol=0,
    )


def test_a_vector_after_the_last_layer_moves_the_logits_as_the_norm_and_w_u_say(
    scored: Scored, found: FunctionVectors
) -> None:
    bridge, _, effects = scored
    geometry = HeadGeometry.of(bridge)
    own = written(geometry, effects[0].donors[0], found.heads)
    np.testing.assert_allclose(found.vectors[0], own.numpy(), atol=1e-6)
    assert bridge.tokenizer is not None
    asked = effects[0].prompts.split.held_out
    model: Any = bridge.original_model
    total = 0.0
    for pair in asked:
        ids = bridge.tokenizer(f"w10 {pair.input} w11")["input_ids"]
        with torch.no_grad():
            _, cache = bridge.run_with_cache(torch.tensor([ids]))
            residual = cache["blocks.2.hook_resid_post"][:, -1:] + own
            logits = model.lm_head(model.transformer.ln_f(residual))[0, 0]
        answer = bridge.tokenizer.convert_tokens_to_ids(pair.output)
        total += float(logits.double().log_softmax(-1)[answer])
    assert found.log_probability[0, 2] == pytest.approx(total / len(asked), abs=1e-4)
    assert found.n_asked.tolist() == [len(asked)]


def test_random_heads_are_of_the_same_layers_and_none_of_the_chosen() -> None:
    from interp.heads.function_vectors.adding import _random_heads

    chosen = [Head(0, 1), Head(2, 0), Head(2, 3)]
    for seed in range(20):
        drawn = _random_heads(chosen, 6, np.random.default_rng(seed))
        assert sorted(head.layer for head in drawn) == [0, 2, 2]
        assert len(set(drawn)) == 3 and not set(drawn) & set(chosen)


def test_nothing_stands_out_in_a_random_model(found: FunctionVectors) -> None:
    assert 0.2 <= found.p_random(found.best_layer()) <= 1
    assert found.random_accuracy.shape == (1, 3, 4)


def test_what_is_saved_is_loaded(found: FunctionVectors, tmp_path: Path) -> None:
    found.save(tmp_path / "v")
    again = FunctionVectors.load(tmp_path / "v")
    assert again.heads == found.heads and again.table() == found.table()
    np.testing.assert_array_equal(again.vectors, found.vectors)
    assert "random heads" in found._repr_html_()
    header = tmp_path / "v" / "header.json"
    header.write_text(header.read_text().replace('"tasks"', '"task"', 1))
    with pytest.raises(CorruptFile, match="make it again"):
        FunctionVectors.load(tmp_path / "v")


def test_a_norm_behind_attention_is_refused(model_directory: Callable[[str], Path]) -> None:
    bridge, scores, effects = scored_on(model_directory("olmo2"))
    with pytest.raises(Unsupported, match="norm between attention and the residual"):
        function_vectors(bridge, scores, effects, k=2)
