"""Function-vector heads: replacing a head, held against whole forward passes, and the nulls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.geometry import HeadGeometry
from interp.heads.detector import Scoring
from interp.heads.detectors.function_vector import DETECTOR
from interp.heads.function_vectors.effects import Settings, make_prompts
from interp.heads.function_vectors.indirect import answer_log_probabilities
from interp.heads.function_vectors.means import mean_head_outputs
from interp.heads.function_vectors.prompts import Prompt
from interp.heads.function_vectors.score import score_function_vectors
from interp.heads.function_vectors.tasks import Pair, Task, read_tasks, write_tasks
from interp.interventions import Intervention, intervened
from interp.models.load import load
from interp.results.errors import BadInput

STYLES = ("gpt2", "llama", "neox", "qwen3")
TEMPLATE = "w10 {input} w11 {output} w12 "
QUIET: Callable[[str], None] = lambda _: None  # noqa: E731


@pytest.fixture(scope="module", params=STYLES)
def geometry(
    request: pytest.FixtureRequest, model_directory: Callable[[str], Path]
) -> HeadGeometry:
    return HeadGeometry.of(load(model_directory(request.param), device="cpu"))


@pytest.fixture(scope="module")
def bridge(model_directory: Callable[[str], Path]) -> TransformerBridge:
    return load(model_directory("llama"), device="cpu")


def a_task(name: str = "next", n: int = 16) -> Task:
    return Task(name=name, pairs=tuple(Pair(f"w{i}", f"w{i + 20}") for i in range(20, 20 + n)))


def prompts_of(lengths: tuple[int, ...]) -> list[Prompt]:
    generator = torch.Generator().manual_seed(3)
    return [
        Prompt(tuple(torch.randint(4, 60, (n,), generator=generator).tolist()), 7 + n)
        for n in lengths
    ]


def donors_of(geometry: HeadGeometry, n: int = 2) -> Tensor:
    shape = (n, geometry.n_layers, geometry.n_heads, geometry.d_head)
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


def whole_pass(
    geometry: HeadGeometry, prompt: Prompt, layer: int, head: int, donor: Tensor
) -> float:
    """One prompt, unpadded, in one pass over all its tokens, one head edited by hand."""

    def edit(z: Tensor) -> Tensor:
        edited = z.clone()
        edited[:, -1, head] = donor
        return edited

    model = geometry.bridge.original_model
    with (
        torch.no_grad(),
        intervened(geometry.bridge, [Intervention(site=geometry.z_site(layer), replace=edit)]),
    ):
        logits = model(input_ids=torch.tensor([prompt.tokens]), use_cache=False).logits
    return float(logits[0, -1].double().log_softmax(-1)[prompt.answer])


def test_single_tokens_give_what_whole_passes_give(geometry: HeadGeometry) -> None:
    prompts, donors = prompts_of((9, 6, 9)), donors_of(geometry)
    _, edited = answer_log_probabilities(geometry, prompts, donors, rows=7, batch_size=2)
    for donor, layer, head, number in [(0, 0, 0, 0), (1, 1, 3, 1), (0, 2, 2, 2), (1, 2, 0, 1)]:
        expected = whole_pass(geometry, prompts[number], layer, head, donors[donor, layer, head])
        assert edited[donor, layer, head, number].item() == pytest.approx(expected, abs=1e-4)


def test_neither_rows_nor_batches_change_an_effect(geometry: HeadGeometry) -> None:
    prompts, donors = prompts_of((5, 8, 3)), donors_of(geometry, 1)
    plain, edited = answer_log_probabilities(geometry, prompts, donors, rows=1, batch_size=1)
    others = answer_log_probabilities(geometry, prompts, donors, rows=500, batch_size=3)
    torch.testing.assert_close(others[0], plain, atol=1e-4, rtol=0)
    torch.testing.assert_close(others[1], edited, atol=1e-4, rtol=0)


def test_a_head_replaced_by_its_own_output_changes_nothing(geometry: HeadGeometry) -> None:
    prompt = prompts_of((7,))
    own = mean_head_outputs(geometry, prompt, batch_size=1).float()[None]
    plain, edited = answer_log_probabilities(geometry, prompt, own)
    torch.testing.assert_close(edited, plain.expand_as(edited), atol=1e-5, rtol=0)


def test_means_do_not_depend_on_how_prompts_are_batched(geometry: HeadGeometry) -> None:
    prompts = prompts_of((5, 8, 3, 8))
    together = mean_head_outputs(geometry, prompts, batch_size=4)
    alone = torch.stack([mean_head_outputs(geometry, [p], batch_size=1) for p in prompts]).mean(0)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_only_a_head_that_writes_has_an_effect(model_directory: Callable[[str], Path]) -> None:
    bridge = load(model_directory("gpt2"), device="cpu")
    geometry = HeadGeometry.of(bridge)
    writer = (1, 2)
    transformer: Any = bridge.original_model.transformer
    with torch.no_grad():
        for layer, block in enumerate(transformer.h):
            rows = block.attn.c_proj.weight
            keep = torch.zeros(rows.shape[0], 1)
            if layer == writer[0]:
                keep[writer[1] * geometry.d_head : (writer[1] + 1) * geometry.d_head] = 1
            rows.mul_(keep)
    plain, edited = answer_log_probabilities(geometry, prompts_of((6, 6)), donors_of(geometry, 1))
    changed = (edited[0] - plain).abs().amax(-1) > 1e-5
    assert torch.nonzero(changed).tolist() == [list(writer)]


def test_all_shuffles_of_a_donor_have_its_tokens_and_its_question(
    bridge: TransformerBridge,
) -> None:
    settings = Settings(template=TEMPLATE, n_shots=4, n_donors=6, n_trials=3, donor_draws=5, seed=1)
    assert bridge.tokenizer is not None
    (found,) = make_prompts([a_task()], bridge, settings)
    right = {(f"w{i}", f"w{i + 20}") for i in range(20, 36)}
    for number, prompt in enumerate(found.donors[0]):
        words = bridge.tokenizer.decode(prompt.tokens, skip_special_tokens=True).split()
        told = list(zip(words[1::5], words[3::5], strict=False))
        assert len(told) == 4 and set(told) <= right
        for shuffle in found.donors[1:]:
            assert sorted(shuffle[number].tokens) == sorted(prompt.tokens)
            assert shuffle[number].tokens[-2:] == prompt.tokens[-2:]
    broken = [prompt.tokens for shuffle in found.donors[1:] for prompt in shuffle]
    assert len({*broken}) > len(found.donors[0])
    shown, asked, held_out = ({p.input for p in part} for part in found.split)
    assert not shown & asked and not shown & held_out and not asked & held_out


def test_right_donors_that_are_shuffles_too_stand_in_the_middle(bridge: TransformerBridge) -> None:
    """Outputs that say nothing of the inputs: every p is a rank among exchangeable draws."""
    rng = np.random.default_rng(0)
    outputs = rng.permutation(16)
    task = Task(
        name="none", pairs=tuple(Pair(f"w{20 + i}", f"w{40 + o}") for i, o in enumerate(outputs))
    )
    scores, _ = score_function_vectors(
        bridge,
        [task],
        template=TEMPLATE,
        n_shots=3,
        n_donors=5,
        n_trials=4,
        donor_draws=9,
        say=QUIET,
    )
    p = scores.array("p", "function_vector")
    assert p.min() >= 0.1 and 0.2 < p.mean() < 0.85
    assert scores.array("p_adj", "function_vector").min() >= 0.1


def test_the_average_is_over_tasks_and_the_same_for_the_same_seed(
    bridge: TransformerBridge,
) -> None:
    tasks = [a_task("a"), a_task("b", 20)]
    arguments = {"template": TEMPLATE, "n_shots": 3, "n_donors": 4, "n_trials": 3, "donor_draws": 2}
    scores, effects = score_function_vectors(bridge, tasks, **arguments, say=QUIET)
    again, _ = score_function_vectors(bridge, tasks, **arguments, say=QUIET)
    assert scores.names == ("function_vector", "function_vector:a", "function_vector:b")
    by_task = [scores.array("score", f"function_vector:{name}") for name in "ab"]
    np.testing.assert_allclose(scores.array("score", "function_vector"), np.mean(by_task, axis=0))
    np.testing.assert_array_equal(scores.score, again.score)
    np.testing.assert_allclose(by_task[0], effects[0].probability[0].mean(-1))
    assert (scores.ci_low <= scores.score).all() and (scores.score <= scores.ci_high).all()
    assert np.isfinite(scores.array("log_probability", "function_vector")).all()


def test_the_cost_is_said_once_before_anything_is_replaced(bridge: TransformerBridge) -> None:
    said: list[str] = []
    few = {"template": TEMPLATE, "n_shots": 3, "n_donors": 4, "n_trials": 2, "donor_draws": 1}
    score_function_vectors(bridge, [a_task()], **few, say=said.append)
    assert len(said) == 1
    # Two donor sets of 4 prompts and 2 trials; 2 trials x 2 sets x 3 layers x 4 heads.
    assert said[0].startswith("function_vector: 10 prompts and 48 single tokens, about ")


def test_the_detector_gives_what_the_function_gives(
    bridge: TransformerBridge, tmp_path: Path
) -> None:
    write_tasks(tmp_path / "t.jsonl", [a_task("a"), a_task("b", 20)])
    options = {"template": TEMPLATE, "n_shots": 3, "n_donors": 4, "n_trials": 3, "donor_draws": 2}
    scoring = Scoring(
        bridge=bridge,
        geometry=HeadGeometry.of(bridge),
        model_hash=None,
        command="interp test",
        items=tmp_path / "t.jsonl",
        options=options,
    )
    assert DETECTOR.run is not None and DETECTOR.cost is not None
    assert DETECTOR.cost(scoring).startswith("function_vector: 30 prompts and 216 single")
    found = DETECTOR.run(scoring)
    direct, _ = score_function_vectors(
        bridge, read_tasks(tmp_path / "t.jsonl"), **options, say=QUIET
    )
    np.testing.assert_array_equal(found.score, direct.score)
    assert found.provenance.corpus_hash == direct.provenance.corpus_hash
    assert found.settings["function_vector"]["n_donors"] == 4


def test_bad_tasks_say_what_is_wrong(bridge: TransformerBridge) -> None:
    few = {"template": TEMPLATE, "n_donors": 2, "n_trials": 2, "donor_draws": 1, "say": QUIET}
    with pytest.raises(BadInput, match="'next' has 16 pairs: 10 shots need at least"):
        score_function_vectors(bridge, [a_task()], **few)
    with pytest.raises(BadInput, match="do not fit"):
        score_function_vectors(bridge, [a_task(n=30)], n_shots=14, **few)
    with pytest.raises(BadInput, match="expected {input} once"):
        score_function_vectors(bridge, [a_task()], n_shots=2, template="w1 {input}", say=QUIET)
    with pytest.raises(BadInput, match="does not keep"):
        score_function_vectors(
            bridge, [a_task()], n_shots=2, template="w10 {input} x{output}", say=QUIET
        )
    with pytest.raises(BadInput, match="there is no task"):
        score_function_vectors(bridge, [], n_shots=2, say=QUIET)
