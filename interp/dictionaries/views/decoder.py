"""What the weights alone say of each feature: its neighbours, and the logits that it moves."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.dictionaries.views.parts import Logits, Neighbours

_BLOCK_ENTRIES = 1 << 24
_DRAWS = 256


class Readout(NamedTuple):
    """The direct path from a site to the logits: direction @ to_residual @ to_logits."""

    to_residual: Float[Tensor, "d_out d_model"] | None
    """None where the site is the residual stream itself."""
    to_logits: Float[Tensor, "d_model d_vocab"]
    """The final norm's gain folded into the unembedding."""

    def logits(self, directions: Float[Tensor, "n d_out"]) -> Float[Tensor, "n d_vocab"]:
        """What each direction adds."""
        written = directions if self.to_residual is None else directions @ self.to_residual
        return written @ self.to_logits


@torch.no_grad()
def neighbours(
    W_dec: Float[Tensor, "d_sae d_out"], *, keep: int, generator: torch.Generator
) -> Neighbours:
    """The `keep` features with the largest cosine for each, and the null of random directions."""
    unit = torch.nn.functional.normalize(W_dec.float(), dim=1)
    keep = min(keep, len(unit) - 1)
    step = max(_BLOCK_ENTRIES // len(unit), 1)
    found = []
    for start in range(0, len(unit), step):
        cosine = unit[start : start + step] @ unit.T
        own = torch.arange(len(cosine))
        cosine[own, own + start] = -2.0
        found.append(cosine.topk(keep, dim=1))
    largest = (_directions(unit, generator) @ unit.T).amax(dim=1)
    return Neighbours(
        feature=torch.cat([block.indices for block in found]).to(torch.int32).cpu().numpy(),
        cosine=torch.cat([block.values for block in found]).cpu().numpy(),
        null=float(largest.quantile(0.95)),
    )


@torch.no_grad()
def logits(
    W_dec: Float[Tensor, "d_sae d_out"],
    readout: Readout,
    *,
    keep: int,
    generator: torch.Generator,
) -> Logits:
    """The `keep` tokens that each decoder row promotes and suppresses most."""
    W_dec = W_dec.float()
    d_vocab = readout.to_logits.shape[1]
    keep = min(keep, d_vocab)
    step = max(_BLOCK_ENTRIES // d_vocab, 1)
    ends: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(W_dec), step):
        block = readout.logits(W_dec[start : start + step])
        high, low = block.topk(keep, dim=1), block.topk(keep, dim=1, largest=False)
        ends.append(tuple(_numpy(t) for t in (*_ids_first(high), *_ids_first(low))))
    promoted, promoted_by, suppressed, suppressed_by = (
        np.concatenate(column) for column in zip(*ends, strict=True)
    )
    largest = readout.logits(_directions(W_dec, generator)).abs().amax(dim=1)
    return Logits(
        promoted=promoted.astype(np.int32),
        promoted_by=promoted_by,
        suppressed=suppressed.astype(np.int32),
        suppressed_by=suppressed_by,
        null=_numpy(W_dec.norm(dim=1) * largest.quantile(0.95)),
    )


def _ids_first(top: torch.return_types.topk) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
    return top.indices, top.values


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _directions(like: Float[Tensor, "n d"], generator: torch.Generator) -> Float[Tensor, "draws d"]:
    drawn = torch.randn(_DRAWS, like.shape[1], generator=generator).to(like.device)
    return torch.nn.functional.normalize(drawn, dim=1)
