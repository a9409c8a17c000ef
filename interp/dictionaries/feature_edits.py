"""A site with single features turned down or up: what an intervention on a feature hands on."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp.results.errors import BadInput, Unsupported


def scaled_features(
    sae: Any, features: Sequence[int], *, scale: float = 0.0
) -> Callable[[Float[Tensor, "..."]], Float[Tensor, "..."]]:
    """x + (scale - 1) (decode(a of `features` alone) - decode(0)): for `interventions.splice`.

    Everything else in x stays, what the dictionary does not explain included; scale 1 is the
    identity up to rounding, 0 takes the features out. Raises BadInput for a feature that the
    dictionary lacks, Unsupported for a transcoder, which reads one site and writes another.
    """
    if getattr(sae.cfg, "d_out", sae.cfg.d_in) != sae.cfg.d_in or "transcoder" in (
        sae.cfg.architecture()
    ):
        raise Unsupported("a transcoder writes another site than it reads: edit an SAE's features")
    wrong = [feature for feature in features if not 0 <= feature < sae.cfg.d_sae]
    if wrong:
        raise BadInput(f"feature {wrong[0]}: the dictionary has 0 to {sae.cfg.d_sae - 1}")
    chosen = torch.tensor(list(features), dtype=torch.long)

    def edited(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        with torch.no_grad():
            active = sae.encode(x)
            alone = torch.zeros_like(active)
            alone[..., chosen] = active[..., chosen]
            written = sae.decode(alone) - sae.decode(torch.zeros_like(active))
        return x + (scale - 1.0) * written.to(x)

    return edited
