"""Causal indirect effect: what a head's mean output does to the answer of a corrupt prompt."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.evaluation.scoring import only_last
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.function_vectors.means import Padded, batches
from interp.heads.function_vectors.prompts import Prompt
from interp.interventions.running import watched

ROWS = 256
"""Rows of one token in a forward pass: prompts times replaced heads."""
Advance = Callable[..., None]


class LastToken:
    """Prompts read up to their last token, which then runs again and again with heads replaced.

    A replacement at the last token changes no earlier key or value, so these are kept, and every
    (prompt, head) costs a forward pass of a single token.
    """

    def __init__(self, geometry: HeadGeometry, prompts: Padded) -> None:
        self._model: Any = geometry.bridge.original_model
        self._geometry = geometry
        self._prompts = prompts
        self._cache = self._model(
            input_ids=prompts.tokens[:, :-1],
            attention_mask=prompts.seen[:, :-1],
            position_ids=prompts.position[:, :-1],
            use_cache=True,
            **only_last(self._model, 1),
        ).past_key_values

    def log_probability(self) -> Float[Tensor, " batch"]:
        """Of the answer, with every head as it is."""
        return self._run(1)[:, 0]

    def replaced(
        self,
        layers: Int[Tensor, " jobs"],
        heads: Int[Tensor, " jobs"],
        outputs: Float[Tensor, "jobs d_head"],
    ) -> Float[Tensor, "batch jobs"]:
        """Log-probability of the answer where one head's output is `outputs`: one head a job."""
        points, hooks = self._geometry.bridge.hook_dict, []
        for layer in sorted(set(layers.tolist())):
            jobs = torch.nonzero(layers == layer)[:, 0]
            edit = partial(_replace, jobs, heads[jobs], outputs[jobs], len(layers))
            hooks.append((points[self._geometry.z_site(layer)], edit))
        with watched(hooks):
            return self._run(len(layers))

    def _run(self, n_jobs: int) -> Float[Tensor, "batch jobs"]:
        cache = copy.deepcopy(self._cache)
        if n_jobs > 1:
            cache.batch_repeat_interleave(n_jobs)
        tokens, seen, position, answers = (
            each.repeat_interleave(n_jobs, dim=0) for each in self._prompts
        )
        logits = self._model(
            input_ids=tokens[:, -1:],
            attention_mask=seen,
            position_ids=position[:, -1:],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
        found = logits.double().log_softmax(-1).gather(-1, answers[:, None])
        return found.reshape(-1, n_jobs)


def _replace(
    jobs: Int[Tensor, " chosen"],
    heads: Int[Tensor, " chosen"],
    outputs: Float[Tensor, "chosen d_head"],
    n_jobs: int,
    z: Float[Tensor, "rows one n_heads d_head"],
) -> Float[Tensor, "rows one n_heads d_head"]:
    edited = z.clone()
    edited.view(-1, n_jobs, *z.shape[2:])[:, jobs, heads] = outputs.to(z)
    return edited


@torch.no_grad()
def answer_log_probabilities(
    geometry: HeadGeometry,
    prompts: Sequence[Prompt],
    donors: Float[Tensor, "donors n_layers n_heads d_head"],
    *,
    rows: int = ROWS,
    batch_size: int = 8,
    advance: Advance = lambda *_: None,
) -> tuple[Float[Tensor, " prompts"], Float[Tensor, "donors n_layers n_heads prompts"]]:
    """Log-probability of every prompt's answer: as it is, and with each head set to each donor.

    z_h at the last token is replaced by the donor's z_h, all else runs on from there (arXiv
    2310.15213, section 2.3).
    """
    n_donors, n_layers, n_heads, d_head = donors.shape
    place = torch.arange(n_donors * n_layers * n_heads, device=donors.device)
    layers, heads = place // n_heads % n_layers, place % n_heads
    flat = donors.reshape(-1, d_head)
    plain, edited = [], []
    for batch in batches(prompts, batch_size=batch_size, device=geometry.device):
        last = LastToken(geometry, batch)
        plain.append(last.log_probability())
        found = []
        for jobs in place.split(max(rows // len(batch.answers), 1)):
            found.append(last.replaced(layers[jobs], heads[jobs], flat[jobs]))
            advance(len(jobs) * len(batch.answers))
        edited.append(torch.cat(found, dim=1))
    together = torch.cat(edited).T.reshape(n_donors, n_layers, n_heads, len(prompts))
    return torch.cat(plain), together
