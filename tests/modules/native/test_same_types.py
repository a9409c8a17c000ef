from functools import partial
from pathlib import Path

import torch

from interp.capture.run import record
from interp.models.load import load
from interp.models.sites import resolve_sites
from interp.modules.functional.find import functional_experts
from interp.modules.native.blocks import native_blocks
from interp.modules.native.experts import all_expert_neurons, routed_expert_neurons
from interp.modules.native.partition import native_partition
from interp.neurons.score import score_neurons
from tests.models import tiny_model_directory
from tests.modules.native.mixtures import labelled_corpus


@torch.no_grad()
def test_a_native_expert_whose_neurons_read_a_function_is_functional_for_it(tmp_path: Path):
    """Planted: expert 2 of Switch reads the direction on which the labels differ."""
    bridge = load(str(tiny_model_directory("switch", tmp_path / "switch")), device="cpu")
    block = native_blocks(bridge)[0]
    site = f"{block.site}.hook_in"
    assert resolve_sites(bridge, site).names == (site,)
    corpus = labelled_corpus(72)
    store = record(bridge, corpus, [site], tmp_path / "store", max_tokens=72 * 16)
    rows = store.rows(site, 0, 1000)
    label = store.column("function", 0, 1000)
    direction = rows[label == 1].mean(axis=0) - rows[label != 1].mean(axis=0)
    generator = torch.Generator().manual_seed(0)
    own = block.expert(2).W_in
    own.copy_(torch.from_numpy(direction) + 0.02 * torch.randn(own.shape, generator=generator))
    for neurons in (all_expert_neurons, routed_expert_neurons):
        scores = score_neurons(
            store,
            site=site,
            labels=["function"],
            pool="mean",
            n_permutations=20,
            transform=partial(neurons, block),
            units="neurons of native experts",
        )
        assert scores.n_units == 4 * block.n_neurons
        if neurons is all_expert_neurons:
            found = functional_experts([scores], [native_partition(block, model_hash=None)])
            f = [function.name for function in scores.functions].index("function=1")
            above = found.q[0, f] <= 0.05
            assert above.tolist() == [False, False, True, False]
