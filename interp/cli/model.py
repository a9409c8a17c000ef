"""`interp model`: what a model is, which sites it has, how faithfully the bridge computes it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Device, Json, print_json
from interp.results.escape import visible

if TYPE_CHECKING:
    from interp.models.card import ModelCard, ModelFacts

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Model = Annotated[
    str, typer.Argument(help="Hub id, directory or bundled name; NAME@STEP for a checkpoint.")
]
Revision = Annotated[str | None, typer.Option("--revision", help="Of a hub model.")]
Dtype = Annotated[str, typer.Option("--dtype", help="float32, float16 or bfloat16.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let the model's own Python files run.")
]


@app.callback()
def model() -> None:
    """Look at a model: its facts, its sites, its fidelity."""


@app.command()
def info(model: Model, revision: Revision = None, json: Json = False) -> None:
    """Print a bundled model's card, or any model's facts: sizes, tokenizer, hash.

    Example: interp model info polyglot
    """
    from interp.models.card import model_facts, read_card
    from interp.models.hub import fetch
    from interp.models.reference import BUNDLED, resolve
    from interp.results.errors import BadInput

    if (BUNDLED / model / "card.json").is_file():
        card = read_card(model)
        print_json(card.content) if json else _show_card(card)
        return
    reference = fetch(resolve(model, revision=revision))
    if reference.path is None:
        raise BadInput(f"{model} has no files")
    facts = model_facts(reference.path, name=model)
    if json:
        print_json({**facts.to_json(), "revision": reference.revision})
    else:
        _show_facts(facts, reference.revision)


@app.command()
def sites(
    model: Model,
    pattern: Annotated[
        list[str] | None, typer.Argument(help="Only what these patterns mean, as for capture.")
    ] = None,
    revision: Revision = None,
    device: Device = "auto",
    trust_remote_code: TrustRemoteCode = False,
    json: Json = False,
) -> None:
    """List the sites that can be captured: name, shape of one token's entry, other names.

    Example: interp model sites polyglot 'blocks.*.mlp.hook_post'
    """
    _refuse_early(model, revision)
    from interp.models.load import load
    from interp.models.sites import available_sites, resolve_sites

    bridge = load(model, revision=revision, device=device, trust_remote_code=trust_remote_code)
    absent: dict[str, tuple[int, ...]] = {}
    if pattern:
        resolved = resolve_sites(bridge, pattern)
        found, absent = list(resolved.sites), resolved.absent_layers
    else:
        found = available_sites(bridge)
    if json:
        print_json({"sites": [_as_json(site) for site in found], "absent_layers": absent})
        return
    for site in found:
        shape = "x".join(map(str, site.shape)) + (" flattened" if site.flattened else "")
        print(f"{site.name:44} {shape:12} {' '.join(site.aliases)}".rstrip())
    for name, layers in absent.items():
        print(f"{visible(name)} is absent in layers {', '.join(map(str, layers))}")


@app.command()
def check(
    model: Model,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the two random sequences.")] = 0,
    json: Json = False,
) -> None:
    """Print the largest difference of logits and residual stream from plain transformers.

    Two sequences of random tokens, padded on the right and on the left, against eager attention
    (which the bridge uses) and against sdpa (transformers' default).

    Example: interp model check polyglot/ability --dtype bfloat16
    """
    _refuse_early(model, revision)
    import torch

    from interp.models.fidelity import check_fidelity
    from interp.models.load import load

    bridge = load(
        model,
        revision=revision,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    length = min(32, bridge.cfg.n_ctx)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, bridge.cfg.d_vocab, (2, length), generator=generator)
    fidelity = check_fidelity(bridge, tokens)
    if json:
        print_json(fidelity.to_json())
        return
    print(f"{visible(model)}, {fidelity.dtype}: largest absolute difference from transformers")
    for side in ("right", "left"):
        sdpa = "no sdpa" if fidelity.logits_sdpa is None else f"{fidelity.logits_sdpa[side]:.1e}"
        print(
            f"  padded {side:5}  logits {fidelity.logits[side]:.1e}  stream "
            f"{fidelity.stream[side]:.1e}  (logits against sdpa {sdpa})"
        )
    print(f"  the largest logit is {fidelity.largest_logit:.3g}")


def _refuse_early(model: str, revision: str | None) -> None:
    """Raise for a name that is nothing before torch is imported, which takes seconds."""
    from interp.models.reference import resolve

    resolve(model, revision=revision)


def _as_json(site: Any) -> dict[str, Any]:
    return {**vars(site), "width": site.width}


def _show_card(card: "ModelCard") -> None:
    print(f"{visible(card.name)}: {visible(card.summary, limit=500)}")
    for name, what in card.variants.items():
        print(f"  {visible(f'{card.name}/{name}'):20} {visible(what)}")
    for task, variants in card.accuracy.items():
        print(f"\nshare right: {visible(task)}, with its 95% interval")
        groups = next(iter(variants.values()))
        titles = [f"{visible(group)} (n {entry.n:,})" for group, entry in groups.items()]
        width = max(16, *(len(title) + 2 for title in titles))
        print(" " * width + "".join(f"{visible(name):20}" for name in variants).rstrip())
        for group, title in zip(groups, titles, strict=True):
            cells = (row[group].interval for row in variants.values())
            shown = (f"{c.value:.3f} [{c.low:.2f}, {c.high:.2f}]" for c in cells)
            print(f"{title:{width}}" + "".join(f"{cell:20}" for cell in shown).rstrip())
    if card.chance is not None:
        print(f"\nguessing would be right {card.chance:.3f} of the time")
    print("\nprompts to type, and the answer:")
    for prompt, answer in card.prompts:
        print(f"  {visible(prompt)}  {visible(answer)}")


def _show_facts(facts: "ModelFacts", revision: str | None) -> None:
    print(f"{visible(facts.name)}: {facts.architecture}, {facts.family}")
    if revision:
        print(f"  commit        {visible(revision)}")
    print(f"  parameters    {facts.n_parameters:,} as {facts.dtype}")
    print("  sizes         " + ", ".join(f"{name} {n:,}" for name, n in facts.sizes.items()))
    tied = ", ".join(f"{head} is {embedding}" for head, embedding in facts.tied) or "nothing"
    print(f"  tied          {visible(tied)}")
    print(f"  tensors hash  {facts.root}")
    tokenizer = facts.tokenizer
    if not tokenizer.present:
        print("  tokenizer     none: give ready token ids")
        return
    ids = {"BOS": tokenizer.bos_id, "EOS": tokenizer.eos_id, "padding": tokenizer.pad_id}
    named = ", ".join(f"{name} {'none' if i is None else i}" for name, i in ids.items())
    habit = "puts BOS first" if tokenizer.adds_bos else "adds no BOS"
    print(f"  tokenizer     {tokenizer.n_tokens:,} tokens, {named}; encoding {habit}")
