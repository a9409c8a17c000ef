"""Interventions on some heads: what the others keep, under every style of attention."""

import pytest
import torch
from torch import Tensor

from interp.interventions import Intervention, intervened, on_heads, splice, zero
from interp.models.load import load
from interp.results.errors import BadInput

TOKENS = torch.arange(4, 20).reshape(2, 8)
SITE = "blocks.1.attn.hook_z"


@pytest.fixture(scope="module", params=["gpt2", "llama", "neox"])
def bridge(request, model_directory):
    return load(model_directory(request.param), device="cpu")


def logits(bridge, *edits: Intervention) -> Tensor:
    with torch.no_grad(), intervened(bridge, edits):
        return bridge(TOKENS)


def test_only_the_named_heads_are_replaced(bridge) -> None:
    seen: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        seen.append(value.clone())
        return value

    heads = torch.tensor([3, 1])
    logits(bridge, splice(SITE, note), on_heads(zero(SITE), heads), splice(SITE, note))
    before, after = seen
    assert torch.equal(after[:, :, [0, 2]], before[:, :, [0, 2]])
    assert not after[:, :, [1, 3]].any()


def test_all_heads_one_by_one_are_the_whole_site(bridge) -> None:
    each = [on_heads(zero(SITE), torch.tensor([h])) for h in range(4)]
    torch.testing.assert_close(logits(bridge, *each), logits(bridge, zero(SITE)))


def test_the_replacement_sees_the_heads_in_the_order_given(bridge) -> None:
    swap = on_heads(splice(SITE, lambda z: z.flip(2)), torch.tensor([0, 2]))
    same = on_heads(splice(SITE, lambda z: z.flip(2)), torch.tensor([2, 0]))
    assert torch.equal(logits(bridge, swap), logits(bridge, same))
    assert not torch.allclose(logits(bridge, swap), logits(bridge), atol=1e-4)


def test_a_head_twice_an_unknown_head_and_a_site_without_heads_are_refused(bridge) -> None:
    with pytest.raises(BadInput, match="a head is named twice"):
        on_heads(zero(SITE), torch.tensor([1, 1]))
    with pytest.raises(BadInput, match="has 4 heads: 4 is not among them"):
        logits(bridge, on_heads(zero(SITE), torch.tensor([4])))
    with pytest.raises(BadInput, match="has no axis of heads"):
        logits(bridge, on_heads(zero("blocks.1.hook_mlp_out"), torch.tensor([0])))
    with pytest.raises(BadInput, match="cannot be edited by heads"):
        on_heads(splice(SITE, torch.clone, reads="blocks.0.attn.hook_z"), torch.tensor([0]))
