"""Pairs with token weights: a rewriting model's verdict on every token of the rejected answers."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from interp.abilities.allo.corrections import Correction, check_template, correction_of
from interp.abilities.allo.pairs import WEIGHTS, read_pairs
from interp.abilities.allo.rewriter import kept_probabilities, template_of
from interp.abilities.allo.token_weights import RULES, TokenAgreement, agreement, token_weights
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.trainable import read_trainable
from interp.results.atomic import atomic_file, write_json
from interp.results.errors import BadInput
from interp.results.hashing import sha256_file
from interp.results.progress import progress
from interp.results.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class Rewarded:
    """A pairs file that was written with token weights."""

    path: Path
    rule: str
    n_pairs: int
    n_tokens: int
    weighted: float
    """Mean weight of the rejected answers' tokens."""
    agreement: TokenAgreement | None
    """Against the column `wrong`; None where the pairs have none."""
    provenance: Provenance

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        found = None if self.agreement is None else self.agreement.to_json()
        made = self.provenance.to_json()
        return {**asdict(self), "path": str(self.path), "agreement": found, "provenance": made}


def reward(
    rewriter: str | Path,
    pairs: str | Path,
    out: str | Path,
    *,
    rule: str = "unaligned",
    template: str | None = None,
    device: str = "cpu",
    overwrite: bool = False,
) -> Rewarded:
    """Write the pairs with the column `rejected_weights`, a weight for every rejected token.

    Beside it stand p_t itself, of rejected and chosen answers (`rejected_probabilities`,
    `chosen_probabilities`). The template is the one the model was trained with unless given. What
    made the file is written to `out` with `.provenance.json` at its end.
    """
    directory, pairs, out = directory_of(rewriter), Path(pairs), Path(out)
    _check_request(out, rule, overwrite)
    template = template if template is not None else template_of(directory)
    check_template(template)
    read_pairs(pairs)
    rows = [json.loads(line) for line in pairs.read_text("utf-8").splitlines() if line.strip()]
    trained = read_trainable(directory, device=device)
    wrong = [correction_of(row, where=f"{pairs}, pair {i}") for i, row in enumerate(rows, start=1)]
    with progress("scoring tokens", total=2 * len(rows), unit="answers") as advance:
        rejected = kept_probabilities(trained, wrong, template=template, on_progress=advance)
        right = [_copied(row) for row in wrong]
        chosen = kept_probabilities(trained, right, template=template, on_progress=advance)
    weights = [token_weights(torch.tensor(p), rule=rule).tolist() for p in rejected]
    with atomic_file(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row, weight, p_rejected, p_chosen in zip(rows, weights, rejected, chosen, strict=True):
            columns = {
                WEIGHTS: weight,
                "rejected_probabilities": p_rejected,
                "chosen_probabilities": p_chosen,
            }
            file.write(json.dumps({**row, **columns}, ensure_ascii=False) + "\n")
    provenance = Provenance.collect(
        "interp ability reward",
        model_hash=model_identity(directory).root,
        corpus_hash=sha256_file(pairs),
        seed=None,
        settings={"rule": rule, "template": template},
    )
    write_json(out.with_name(f"{out.name}.provenance.json"), provenance.to_json())
    pooled = np.concatenate([np.asarray(w, dtype=np.float64) for w in weights])
    return Rewarded(
        path=out,
        rule=rule,
        n_pairs=len(rows),
        n_tokens=len(pooled),
        weighted=float(pooled.mean()),
        agreement=_agreement(pooled, rows),
        provenance=provenance,
    )


def _copied(row: Correction) -> Correction:
    """The solution as a prediction of its own."""
    return Correction(problem=row.problem, solution=row.solution, prediction=row.solution)


def _agreement(
    weights: Float[np.ndarray, " n"], rows: list[dict[str, Any]]
) -> TokenAgreement | None:
    if not all(isinstance(row.get("wrong"), list) for row in rows):
        return None
    wrong: Bool[np.ndarray, " m"] = np.array([w for row in rows for w in row["wrong"]], dtype=bool)
    if len(wrong) != len(weights):
        raise BadInput(
            f"the column `wrong` marks {len(wrong)} tokens, and the rejected answers have "
            f"{len(weights)}: it holds one true or false a token"
        )
    return agreement(weights, wrong)


def _check_request(out: Path, rule: str, overwrite: bool) -> None:
    if rule not in RULES:
        raise BadInput(f"no rule {rule!r} for token weights: there are {', '.join(RULES)}")
    if out.exists() and not overwrite:
        raise BadInput(f"{out} exists: choose another name, or overwrite it")
