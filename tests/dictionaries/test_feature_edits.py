import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig

from interp.dictionaries.feature_edits import scaled_features
from interp.results.errors import BadInput


@pytest.fixture
def sae() -> StandardSAE:
    dictionary = StandardSAE(StandardSAEConfig(d_in=4, d_sae=6, device="cpu"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in (dictionary.W_enc, dictionary.W_dec, dictionary.b_enc, dictionary.b_dec):
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return dictionary


def rows() -> torch.Tensor:
    return torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))


def test_at_scale_one_a_site_stays_as_it_is(sae: StandardSAE) -> None:
    torch.testing.assert_close(scaled_features(sae, [0, 3], scale=1.0)(rows()), rows())


def test_taking_features_out_subtracts_what_they_write_and_keeps_the_error(
    sae: StandardSAE,
) -> None:
    x = rows()
    expected = x - sae.encode(x)[..., [0, 3]] @ sae.W_dec[[0, 3]]
    torch.testing.assert_close(scaled_features(sae, [0, 3])(x), expected)


def test_a_feature_that_is_not_there_is_refused(sae: StandardSAE) -> None:
    with pytest.raises(BadInput, match="feature 6: the dictionary has 0 to 5"):
        scaled_features(sae, [6])
