"""The active entries of a batch under a dictionary, without a second dense tensor of them."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from sae_lens.saes.jumprelu_sae import JumpReLUSAE
from sae_lens.saes.sae import SAE
from sae_lens.saes.transcoder import JumpReLUTranscoder
from torch import Tensor


class Active(NamedTuple):
    """The non-zero entries of a batch, sorted by feature, then by row."""

    feature: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    value: Float32[np.ndarray, " n"]


class Encoder:
    """Finds what `sae.encode` leaves non-zero, to rounding; buffers are kept between batches.

    Of a JumpReLU dictionary (BatchTopK is saved as one) it takes one matrix product and one
    comparison: an entry is active where it exceeds its threshold and zero. Others are encoded as
    sae-lens does.
    """

    def __init__(self, sae: SAE[Any]) -> None:
        self._sae = sae
        self._rule = _threshold_rule(sae)
        self._pre = torch.empty(0)
        self._above = torch.empty(0, dtype=torch.bool)

    @torch.no_grad()
    def active(self, rows: Float[Tensor, "rows d_in"]) -> Active:
        """The active entries of `rows`."""
        if self._rule is None:
            return _entries(self._sae.encode(rows).T.contiguous(), None)
        weight, bias, threshold = self._rule
        sae_in = self._sae.process_sae_in(rows)
        shape = (len(weight), len(rows))
        if self._pre.shape != shape or self._pre.device != weight.device:
            self._pre = torch.empty(shape, dtype=weight.dtype, device=weight.device)
            self._above = torch.empty(shape, dtype=torch.bool, device=weight.device)
        torch.addmm(bias, weight, sae_in.T, out=self._pre)
        torch.gt(self._pre, threshold, out=self._above)
        return _entries(self._pre, self._above)


def _threshold_rule(sae: SAE[Any]) -> tuple[Tensor, Tensor, Tensor] | None:
    """Encoder [d_sae, d_in], bias and threshold [d_sae, 1], where those are the whole encoder."""
    if not isinstance(sae, JumpReLUSAE | JumpReLUTranscoder):
        return None
    if type(sae).encode not in (JumpReLUSAE.encode, JumpReLUTranscoder.encode):
        return None
    return (
        sae.W_enc.detach().T.contiguous(),
        sae.b_enc.detach()[:, None],
        sae.threshold.detach().clamp(min=0)[:, None],
    )


def _entries(acts: Float[Tensor, "d_sae rows"], above: torch.Tensor | None) -> Active:
    n_rows = max(acts.shape[1], 1)
    mask = acts != 0 if above is None else above
    if acts.device.type == "cpu":
        # NumPy's search of a boolean array takes a third of torch's time.
        flat = torch.from_numpy(np.flatnonzero(mask.view(-1).numpy()))
    else:
        flat = torch.nonzero(mask.view(-1)).view(-1)
    value = acts.view(-1)[flat].float().cpu().numpy()
    place = flat.cpu().numpy()
    feature = (place // n_rows).astype(np.int32)
    return Active(feature, (place - feature.astype(np.int64) * n_rows).astype(np.int32), value)
