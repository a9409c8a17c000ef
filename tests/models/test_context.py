"""The context of a model: the default length keeps to it, and what goes beyond is refused."""

import numpy as np
import pytest

from interp.corpus.corpus import Corpus
from interp.models.context import (
    context_of,
    length_within,
    refuse_beyond_context,
    refuse_long_items,
)
from interp.models.load import load
from interp.modules.layers.run import analyse_layers
from interp.modules.native.run import read_native
from interp.modules.partitioning.random import random_partition
from interp.modules.perturbation.items import FunctionItem
from interp.modules.routing.run import measure_routing
from interp.neurons.sparsity import model_sparsity
from interp.results.errors import BadInput

SITE = "blocks.0.mlp.hook_post"


@pytest.mark.parametrize("style", ["gpt2", "llama", "mixtral"])
def test_a_length_that_was_not_given_keeps_to_the_context(model_directory, style: str):
    bridge = load(model_directory(style), device="cpu")
    context = context_of(bridge)
    assert context == context_of(model_directory(style)) == 64
    assert length_within(bridge, None) == 64
    assert length_within(bridge, None, default=32) == 32
    assert length_within(bridge, 200) == 200
    refuse_beyond_context(bridge, 64)
    with pytest.raises(BadInput, match="65 tokens do not fit the model's context of 64"):
        refuse_beyond_context(bridge, 65)


def test_a_model_with_relative_positions_has_no_limit(model_directory):
    bridge = load(model_directory("t5"), device="cpu")
    assert context_of(bridge) is None
    assert length_within(bridge, None) == 128
    refuse_beyond_context(bridge, 10_000)
    refuse_long_items(bridge, {"a": 10_000})


def test_every_door_refuses_what_the_model_has_no_position_for(model_directory):
    dense = load(model_directory("gpt2"), device="cpu")
    mixture = load(model_directory("mixtral"), device="cpu")
    corpus = Corpus.from_tokens(np.random.default_rng(0).integers(4, 60, size=(12, 70)))
    doors = (
        lambda: model_sparsity(dense, corpus, sites=[SITE]),
        lambda: analyse_layers(dense, corpus),
        lambda: read_native(mixture, corpus),
    )
    for door in doors:
        with pytest.raises(BadInput, match="70 tokens do not fit the model's context of 64"):
            door()
    items = [
        FunctionItem(
            id=f"line {n}",
            function="any",
            split=split,
            tokens=tuple([5] * n),
            answer_start=4,
            answer_end=6,
            has_answer=True,
        )
        for n, split in ((8, "validation"), (65, "validation"), (8, "test"), (71, "test"))
    ]
    with pytest.raises(BadInput, match="item 'line 71' has 71 tokens .* is 64: .* the 2 that do"):
        measure_routing(dense, [random_partition(48, 6, seed=0, site=SITE)], items)
