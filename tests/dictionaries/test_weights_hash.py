"""The hash of a dictionary's weights: the same for the same weights, another for others."""

from pathlib import Path

import pytest
import torch

from interp.dictionaries.files import open_dictionary, save_dictionary
from interp.dictionaries.weights_hash import weights_sha256
from tests.dictionaries.making import made


def test_a_saved_dictionary_has_the_hash_it_had(tmp_path: Path) -> None:
    sae = made("topk")
    again = open_dictionary(save_dictionary(sae, tmp_path / "dictionary"))
    assert weights_sha256(sae) == weights_sha256(again)


@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_enc", "b_dec"])
def test_one_number_of_any_tensor_makes_another_hash(name: str) -> None:
    sae = made("standard")
    before = weights_sha256(sae)
    with torch.no_grad():
        getattr(sae, name).view(-1)[-1] += 1e-3
    assert weights_sha256(sae) != before
