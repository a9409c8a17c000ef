"""Adam with its gradients clipped to a global norm of 1, in one pass over the parameters."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from interp.dictionaries.sparse.ranks import ONE_PROCESS, Ranks

MAX_NORM = 1.0
_EPSILON = 1e-6  # of torch.nn.utils.clip_grad_norm_


class ClippedAdam:
    """`clip_grad_norm_(parameters, 1.0)`, then `Adam.step`, then `zero_grad`.

    The fused kernel divides each gradient by a scale as it reads it; that scale is the clipping, so
    that clipping costs one pass to find the norm and none to apply it.
    """

    def __init__(
        self, parameters: Iterable[Parameter], *, lr: float, betas: tuple[float, float]
    ) -> None:
        self.parameters = list(parameters)
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, betas=betas, fused=True)

    @torch.no_grad()
    def step(self, ranks: Ranks = ONE_PROCESS, share: float = 1.0) -> Float[Tensor, ""]:
        """Update; returns the norm before clipping.

        `share` is the part of the global batch that these gradients are the mean over.
        """
        with_gradient = [p for p in self.parameters if p.grad is not None]
        if share != 1.0:
            for parameter in with_gradient:
                parameter.grad = ranks.all_sum(parameter.grad * share)  # type: ignore[operator]
        gradients = [p.grad for p in with_gradient if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.optimizer.grad_scale = ((norm + _EPSILON) / MAX_NORM).clamp(min=1.0).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm
