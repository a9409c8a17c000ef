"""Hook names that promise what they do not hold on an architecture, and what to read instead."""

from collections.abc import Mapping

from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from interp.models.observation import Observed

_PATTERNS = ("hook_pattern", "hook_attn_scores")

# transformer-lens names after the pre-norm block; BERT normalises after each sum.
_BERT = {
    "hook_attn_out": ("the stream after attention and its norm", "attn.o.hook_out", "ln1.hook_out"),
    "hook_resid_mid": ("the sum before the second norm", "ln1.hook_out", "ln2.hook_in"),
}


def no_token_axis(name: str, observed: Observed | None) -> str | None:
    """Why `name` has no entry a token; None if it has one."""
    if observed is None:
        return f"{name}: the forward of this model does not reach it (switched off, or passed by)"
    if name.endswith(_PATTERNS):
        return (
            f"{name} has a query and a key axis, so no entry a token to store: the head analyses "
            "read it during the forward, your own code with `bridge.run_with_cache(tokens, "
            "names_filter=...)`"
        )
    if not observed.has_tokens:
        shape = "x".join(map(str, observed.shape))
        return f"{name} has no entry a token (its shape is {shape} for 2 sequences of 3 tokens)"
    return None


def broken_promise(
    bridge: TransformerBridge, hooks: Mapping[str, HookPoint], name: str
) -> str | None:
    """What `name` holds instead of what it says, and the right site; None if it keeps its word."""
    head, _, leaf = name.rpartition(".")
    block, _, _ = head.partition(".mlp")
    if leaf in ("hook_pre", "hook_post") and _is_whole_block(hooks, head, leaf):
        side = "input" if leaf == "hook_pre" else "output"
        right = "hook_in" if leaf == "hook_pre" else "hook_out"
        shared = f"{block}.mlp.shared_expert.hook_post"
        neurons = f"; its shared expert's neurons are {shared}" if shared in hooks else ""
        return (
            f"{name} is the {side} of a mixture of experts, {bridge.cfg.d_model} wide, not its "
            f"neurons: that tensor is {head}.{right}, {_router(bridge)} "
            f"{block}.mlp.gate.hook_out{neurons}"
        )
    if bridge.cfg.architecture == "BertForMaskedLM" and leaf in _BERT:
        holds, right, same = _BERT[leaf]
        return (
            f"{name} holds {holds} on BERT, not what its name says: that is {head}.{right}; "
            f"what it holds is {head}.{same}"
        )
    return None


def _router(bridge: TransformerBridge) -> str:
    # Switch's router returns its choices first and its logits last.
    if bridge.cfg.architecture == "SwitchTransformersForConditionalGeneration":
        return "what its router chose, without what it dropped, is"
    return "the router's logits are"


def _is_whole_block(hooks: Mapping[str, HookPoint], head: str, leaf: str) -> bool:
    """Whether the hook is the module's own input or output under a neuron's name."""
    whole = hooks.get(f"{head}.hook_in" if leaf == "hook_pre" else f"{head}.hook_out")
    return whole is not None and whole is hooks.get(f"{head}.{leaf}")
