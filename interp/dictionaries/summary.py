"""What a dictionary is, learnt how and measured how, as a JSON object and as a page of text."""

from typing import Any

from sae_lens import SAE

from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.evaluation.evaluation import DictionaryEvaluation
from interp.dictionaries.files import directory_of, open_dictionary
from interp.dictionaries.weights_hash import weights_sha256
from interp.results.escape import visible

EVALUATION = "evaluation"
"""The directory beside the weights where an evaluation is looked for."""


def summary(ref: str, *, sae_id: str | None = None) -> dict[str, Any]:
    """Everything that `interp dictionary info` knows; opens the weights, and so checks them."""
    sae = open_dictionary(ref, sae_id=sae_id)
    card, metadata = DictionaryCard.of(sae), sae.cfg.metadata
    found = evaluation_of(ref)
    provenance = card.provenance
    return {
        "dictionary": ref if sae_id is None else f"{ref} {sae_id}",
        **{name: getattr(card, name) for name in card.__dataclass_fields__},
        "dtype": sae.cfg.dtype,
        "entries": sum(tensor.numel() for tensor in sae.state_dict().values()),
        "apply_b_dec_to_input": sae.cfg.apply_b_dec_to_input,
        "normalize_activations": sae.cfg.normalize_activations,
        "options": _options(sae),
        "training": metadata.training_architecture_details or {},
        "load_model_with": metadata.model_from_pretrained_kwargs or {},
        "provenance": None if provenance is None else provenance.to_json(),
        "evaluation": None if found is None else found.to_json(),
        "evaluation_of_these_weights": None if found is None else _of_these_weights(found, sae),
    }


def evaluation_of(ref: str) -> DictionaryEvaluation | None:
    """The evaluation beside a dictionary's weights; None where there is none."""
    directory = directory_of(ref)
    if directory is None or not (directory / EVALUATION).is_dir():
        return None
    return DictionaryEvaluation.load(directory / EVALUATION)


def describe(ref: str, *, sae_id: str | None = None) -> str:
    """The same for a person, every string made safe for a terminal."""
    facts = summary(ref, sae_id=sae_id)
    lines = [
        f"{facts['dictionary']}: {_kind(facts)}, {facts['entries']:,} numbers as {facts['dtype']}",
        _place(facts),
        _origin(facts),
        *_ways(facts),
        *_measured(evaluation_of(ref), facts["evaluation_of_these_weights"]),
    ]
    return "\n".join(visible(line, limit=2000) for line in lines)


def _options(sae: SAE[Any]) -> dict[str, Any]:
    """What the architecture has beside widths: k, thresholds by their quantiles."""
    options = {"k": sae.cfg.k} if hasattr(sae.cfg, "k") else {}
    threshold = sae.state_dict().get("threshold")
    if threshold is not None:
        middle = threshold.float().median()
        found = {"min": threshold.min(), "median": middle, "max": threshold.max()}
        options["threshold"] = {name: float(value) for name, value in found.items()}
    return options


def _kind(facts: dict[str, Any]) -> str:
    trained = facts["training_architecture"]
    name = facts["architecture"]
    name += f" (trained as {trained})" if trained not in (None, name) else ""
    widths = f"{facts['d_in']} -> {facts['d_sae']:,} features -> {facts['d_out']}"
    return f"{name}, {widths}"


def _place(facts: dict[str, Any]) -> str:
    site = facts["site"] or "a site that its card does not name"
    site += f" to {facts['site_out']}" if facts["site_out"] else ""
    model = facts["model"] or "a model that its card does not name"
    known = f" ({facts['model_hash'][:16]})" if facts["model_hash"] else ""
    return f"of {site} of {model}{known}"


def _origin(facts: dict[str, Any]) -> str:
    tokens = facts["n_training_tokens"]
    said = "trained on an unknown number of tokens" if tokens is None else f"{tokens:,} tokens seen"
    said += f" of corpus {facts['corpus_hash'][:16]}" if facts["corpus_hash"] else ""
    said += f", seed {facts['seed']}" if facts["seed"] is not None else ""
    provenance = facts["provenance"]
    return said if provenance is None else f"{said}; made by: {provenance['command']}"


def _ways(facts: dict[str, Any]) -> list[str]:
    lines = []
    if "k" in facts["options"]:
        lines.append(f"k: {facts['options']['k']}")
    if "threshold" in facts["options"]:
        ends = [f"{value:.4g}" for value in facts["options"]["threshold"].values()]
        lines.append(f"threshold: {ends[0]} to {ends[2]}, median {ends[1]}")
    if facts["training"]:
        lines.append("training: " + ", ".join(f"{k} {v}" for k, v in facts["training"].items()))
    if facts["normalize_activations"] != "none":
        lines.append(f"inputs are normalised: {facts['normalize_activations']}")
    if facts["load_model_with"]:
        lines.append(f"load its model with: {facts['load_model_with']}")
    return lines


def _of_these_weights(found: DictionaryEvaluation, sae: SAE[Any]) -> bool | None:
    """Whether an evaluation is of the weights beside it; None where it does not say."""
    measured = found.dictionary.get("weights_sha256")
    return None if measured is None else measured == weights_sha256(sae)


def _measured(found: DictionaryEvaluation | None, of_these: bool | None) -> list[str]:
    if found is None:
        return ["no evaluation beside it: `interp dictionary evaluate` makes one"]
    rows = [f"  {title}: {cell} (n {n})" for title, n, cell, *_ in found.table()[1] if cell != "-"]
    lines = [f"evaluation over {found.n_rows:,} rows (95% intervals):", *rows]
    if of_these is None:
        return [*lines, "  of which weights it is, it does not say"]
    return lines if of_these else ["the evaluation beside it is of other weights:", *lines]
