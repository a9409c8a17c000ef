"""A new dictionary of any architecture, ready to train, the same for the same seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from sae_lens.saes.sae import TrainingSAE
from torch import Tensor

from interp.dictionaries.architectures.options import fitted_options, unknown
from interp.results.errors import BadInput


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draws from torch's global generator start at `seed` inside, and are as they were after."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def make(
    name: str,
    *,
    d_in: int,
    d_sae: int,
    seed: int,
    d_out: int | None = None,
    device: str = "cpu",
    b_dec: Float[Tensor, " d_out"] | None = None,
    **options: Any,
) -> TrainingSAE[Any]:
    """A dictionary in training with freshly drawn weights.

    `options` are the fields of the architecture's sae-lens config (`k`, `l1_coefficient`,
    `normalize_activations`, ...). `b_dec` is where the decoder's bias starts, usually the mean of
    what is reconstructed; zero without it. Weights are drawn on the CPU: a seed means the same
    dictionary on every device. Matryoshka widths default to 1/32, 3/32, 7/32, 15/32 and all of
    d_sae, near the shares of arXiv 2503.17547; d_sae is added to widths that end below it.
    """
    from interp.dictionaries.architectures import architectures

    known = architectures()
    if name not in known:
        raise BadInput(unknown("architecture", name, sorted(known)))
    architecture = known[name]
    settings = {"d_in": d_in, "d_sae": d_sae, **fitted_options(architecture, d_sae, options)}
    if architecture.reads_two_sites:
        settings["d_out"] = d_in if d_out is None else d_out
    elif d_out not in (None, d_in):
        raise BadInput(
            f"d_out is {d_out} but {name} reconstructs its own input of width {d_in}: leave d_out "
            "away, or take transcoder or skip_transcoder."
        )
    try:
        config = architecture.config_class(**settings)
        with seeded(seed):
            sae = architecture.training_class(config)
    except (ValueError, TypeError) as error:
        raise BadInput(f"sae-lens refuses these options of {name}: {error}") from error
    if b_dec is not None:
        _start_bias(sae, b_dec)
    return sae.to(device) if device != "cpu" else sae


def _start_bias(sae: TrainingSAE[Any], b_dec: Tensor) -> None:
    if b_dec.shape != sae.b_dec.shape:
        raise BadInput(
            f"b_dec has shape {tuple(b_dec.shape)}, expected {tuple(sae.b_dec.shape)}: pass the "
            "mean of the site that is reconstructed."
        )
    with torch.no_grad():
        sae.b_dec.copy_(b_dec)
