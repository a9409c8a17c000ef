import json

import numpy as np
import pytest

from interp.abilities.masks.mask import NeuronMask
from interp.models.identity import ModelIdentity
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import DATA, HEADER
from interp.results.provenance import Provenance


def identity(n=1000):
    return ModelIdentity(
        root="r",
        tensors={"a": "x"},
        n=n,
        dtype="F32",
        config_digest="c",
        tokenizer_digest=None,
        tied=(("lm_head.weight", "wte.weight"),),
    )


def provenance():
    return Provenance.collect("test", model_hash="r", corpus_hash=None, seed=0, settings={"k": 1})


def a_mask(**fields):
    rng = np.random.default_rng(0)
    dense = {
        "b.weight": rng.random((7, 11)) < 0.3,
        "a.weight": rng.random(500) < 0.01,
        "none": np.zeros((2, 2), bool),
    }
    mask = NeuronMask.from_dense(
        dense,
        level="entry",
        recipe={"locator": "change", "k1": 0.05},
        base=identity(),
        provenance=provenance(),
    )
    return dense, mask


def test_a_mask_is_what_was_packed(tmp_path):
    dense, mask = a_mask()
    loaded = NeuronMask.load(mask.save(tmp_path / "mask"))
    for name, array in dense.items():
        np.testing.assert_array_equal(mask.dense(name), array)
        np.testing.assert_array_equal(loaded.dense(name), array)
    assert loaded.recipe == mask.recipe
    assert loaded.base == mask.base
    assert loaded.provenance == mask.provenance
    assert loaded.counts_by_tensor() == {n: int(a.sum()) for n, a in dense.items()}


def test_the_share_is_of_the_whole_model():
    dense, mask = a_mask()
    assert mask.share == sum(a.sum() for a in dense.values()) / 1000


def test_a_tensor_that_was_not_ranked_is_named():
    with pytest.raises(BadInput, match="'q'"):
        a_mask()[1].dense("q")


def test_a_changed_bit_is_noticed(tmp_path):
    path = a_mask()[1].save(tmp_path / "mask")
    content = bytearray((path / DATA).read_bytes())
    content[-1] ^= 1
    (path / DATA).write_bytes(content)
    with pytest.raises(CorruptFile, match="checksum"):
        NeuronMask.load(path)


def test_another_schema_is_refused_and_a_lacking_header_is_named(tmp_path):
    path = a_mask()[1].save(tmp_path / "mask")
    header = json.loads((path / HEADER).read_text())
    (path / HEADER).write_text(json.dumps(header | {"schema": "interp.mask/2"}))
    with pytest.raises(BadInput, match=r"interp\.mask/2"):
        NeuronMask.load(path)
    del header["level"]
    (path / HEADER).write_text(json.dumps(header))
    with pytest.raises(CorruptFile, match="level"):
        NeuronMask.load(path)


def test_markup_in_a_tensor_name_is_escaped():
    mask = NeuronMask.from_dense(
        {"<script>": np.ones(2, bool)},
        level="entry",
        recipe={},
        base=identity(),
        provenance=provenance(),
    )
    assert "<script>" not in mask._repr_html_()
