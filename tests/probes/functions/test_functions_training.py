"""Training: the same start and data for both siblings, and a price worked out another way."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.models.load import load
from interp.models.series import checkpoints
from interp.models.training import next_token_loss
from probes.functions.blocks import known_blocks
from probes.functions.model import new_model, read_model, write_model
from probes.functions.recipe import SIBLINGS, Recipe
from probes.functions.tasks import FIRST_FUNCTION, draw
from probes.functions.train import train_siblings
from probes.functions.training import penalties, penalty, recorded_activations, train_sibling

SHORT = replace(Recipe(), steps=4, warmup=2, checkpoints=(0, 2, 4), batch_size=8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(sibling: str, seed: int = 0) -> dict[int, dict[str, torch.Tensor]]:
    kept: dict[int, dict[str, torch.Tensor]] = {}

    def save(step: int, model: torch.nn.Module) -> None:
        kept[step] = {name: p.detach().clone() for name, p in model.named_parameters()}

    train_sibling(sibling, SHORT, seed=seed, save=save)
    return kept


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_siblings_start_alike_and_part_and_a_seed_gives_the_same_weights():
    planted, control = trained("planted"), trained("control")
    assert list(planted) == [0, 2, 4]
    assert same(planted[0], control[0])
    assert not same(planted[4], control[4])
    assert same(planted[4], trained("planted")[4])
    assert not same(planted[0], trained("planted", seed=1)[0])


def test_new_weights_have_torchs_spread_and_embeddings_the_recipes():
    model = new_model(Recipe(), seed=0)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    assert float(weights["transformer.wte.weight"].std()) == pytest.approx(0.3, rel=0.05)
    up, down = (weights[f"transformer.h.1.mlp.{n}.weight"] for n in ("c_fc", "c_proj"))
    assert float(up.abs().max()) == pytest.approx(64**-0.5, rel=0.01)
    assert float(down.abs().max()) == pytest.approx(192**-0.5, rel=0.01)
    assert weights["lm_head.weight"].data_ptr() != weights["transformer.wte.weight"].data_ptr()


def test_the_price_of_a_batch_is_what_a_loop_over_its_tokens_adds_up():
    tokens = torch.from_numpy(draw(np.random.default_rng(0), 3))
    h = torch.rand(3, 18, 2, 192, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    blocks = known_blocks(4)
    cost = penalties("planted", Recipe(), seed=4).double()
    total = 0.0
    for row in range(3):
        function = int(tokens[row, 1]) - FIRST_FUNCTION
        for position in range(1, 18):
            for layer in range(2):
                outside = torch.from_numpy(blocks[layer] != function)
                total += 0.003 * float(h[row, position, layer, outside].sum())
    assert float(penalty(h, tokens, cost)) == pytest.approx(total / (3 * 17), rel=1e-6)
    control = penalties("control", Recipe(), seed=4).double()
    expected = 5e-4 * float(h[:, 1:].sum()) / (3 * 17)
    assert float(penalty(h, tokens, control)) == pytest.approx(expected, rel=1e-6)


def test_recorded_activations_are_the_neurons_after_the_relu_and_hooks_go_away():
    model = new_model(Recipe(), seed=0)
    tokens = torch.from_numpy(draw(np.random.default_rng(0), 3))
    with recorded_activations(model) as layers, torch.no_grad():
        model(input_ids=tokens)
    bridge = load(new_model(Recipe(), seed=0), device="cpu")
    with torch.no_grad():
        _, cache = bridge.run_with_cache(tokens)
    for layer in range(2):
        torch.testing.assert_close(layers[layer], cache[f"blocks.{layer}.mlp.hook_post"])
    with torch.no_grad():
        model(input_ids=tokens)
    assert len(layers) == 2


def test_loss_is_taken_on_the_eight_answers():
    from probes.functions.training import _batches

    batch = next(_batches(SHORT, seed=0))
    assert batch.target.sum(1).tolist() == [8] * 8
    model = new_model(Recipe(), seed=0)
    with torch.no_grad():
        log_p = model(input_ids=batch.tokens).logits[:, 10:18].log_softmax(-1)
        by_hand = -log_p.gather(2, batch.tokens[:, 11:, None]).mean()
        assert float(next_token_loss(model, batch)) == pytest.approx(float(by_hand), abs=1e-5)


def test_a_written_model_is_read_back_rounded_once(tmp_path: Path):
    model = new_model(Recipe(), seed=3)
    write_model(model, tmp_path)
    for old, new in zip(model.parameters(), read_model(tmp_path).parameters(), strict=True):
        assert torch.equal(old.half().float(), new)


def test_siblings_are_written_as_series_with_what_is_known(tmp_path: Path):
    out = tmp_path / "siblings"
    train_siblings(out, seed=4, recipe=SHORT)
    assert sorted(p.name for p in out.iterdir()) == [
        "control",
        "known.json",
        "planted",
        "training.json",
    ]
    for sibling in SIBLINGS:
        assert [c.step for c in checkpoints(str(out / sibling))] == [0, 2, 4]
        last = (out / sibling / "step-4" / "model.safetensors").read_bytes()
        assert (out / sibling / "model.safetensors").read_bytes() == last
    assert json.loads((out / "known.json").read_text())["block"] == known_blocks(4).tolist()
    assert json.loads((out / "training.json").read_text())["seed"] == 4
