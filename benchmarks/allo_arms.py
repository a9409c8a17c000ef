"""One seed of the alignment benchmark: policy, token weights, masks, and every arm's figures."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from benchmarks.families import family

if TYPE_CHECKING:
    from interp.abilities.allo import EncodedPairs, StageRecipe
    from interp.abilities.masks.mask import NeuronMask
    from interp.models.trainable import TrainableModel

BUDGET, WARMUP, FORGET = 300, 40, 30
"""Updates of every arm, and those of them that go to the mask and to forgetting."""
BATCH, N_PAIRS, BETA, EPSILON = 32, 2000, 0.1, 0.1
SHARES = {"dpo": 0.1, "forget": 0.05, "learn": 0.1}
WARMUP_RATE = 3e-4
RATES = {"all": (1e-4, 3e-4), "masked": (3e-4, 1e-3)}
HARM = 0.03
"""What a rate may cost of general accuracy on validation cells."""
POLICY = {"steps": 500, "lr": 1e-3, "n": 32_000}
REWRITER = {"steps": 500, "lr": 2e-3, "n": 12_000, "batch_size": 64}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to spend the budget."""

    title: str
    forgets: bool = True
    learns: Literal["learn", "dpo"] = "learn"
    """By ALLO's learning with token selection, or by DPO."""
    mask: str | None = None
    """change, random, bottom or allo_released; None moves all entries."""
    weights: str = "unaligned"
    """Of the forgetting stage: a rule for the rewriting model's p_t, truth, or none."""
    select: Literal["largest", "smallest"] = "smallest"
    """Which rejected tokens learning takes: those that fell most (as released) or least."""
    padded: bool = False
    """Whether the selected share counts prompt and padding, as released with ALLO."""

    def steps(self) -> dict[str, int]:
        """Updates of every stage after the warm-up."""
        left = BUDGET - (WARMUP if self.mask else 0)
        if self.forgets:
            return {"forget": FORGET, self.learns: left - FORGET}
        return {self.learns: left}


ARMS = {
    "dpo": Arm(title="DPO", forgets=False, learns="dpo"),
    "dpo_change": Arm(title="DPO, change 10%", forgets=False, learns="dpo", mask="change"),
    "dpo_random": Arm(title="DPO, random 10%", forgets=False, learns="dpo", mask="random"),
    "dpo_bottom": Arm(title="DPO, bottom 10%", forgets=False, learns="dpo", mask="bottom"),
    "select": Arm(title="learn alone, no forgetting", forgets=False),
    "select_most": Arm(title="learn alone, most fallen", forgets=False, select="largest"),
    "forget": Arm(title="forget, then DPO", learns="dpo"),
    "staged": Arm(title="forget, then learn"),
    "staged_most": Arm(title="forget, learn, most fallen", select="largest"),
    "staged_change": Arm(title="forget, learn, change 5/10%", mask="change"),
    "staged_random": Arm(title="forget, learn, random 5/10%", mask="random"),
    "staged_bottom": Arm(title="forget, learn, bottom 5/10%", mask="bottom"),
    "staged_truth": Arm(title="forget, learn, true weights", weights="truth"),
    "staged_none": Arm(title="forget, learn, no weights", weights="none"),
    "released": Arm(
        title="released: p, padded T, 5/5%",
        mask="allo_released",
        weights="released",
        select="largest",
        padded=True,
    ),
}

Figures = dict[str, Any]


def run_seed(seed: int, directory: Path, cache: Path) -> Figures:
    """Every arm's figures at its chosen rate, and the agreement of the token weights."""
    from interp.abilities.allo import encode_pairs
    from interp.models.identity import model_identity
    from interp.models.trainable import read_trainable
    from probes.polyglot.preferences import preferences

    base = family(seed, cache) / "base"
    policy = make_policy(seed, base, directory / "policy")
    rows = preferences(seed, n=N_PAIRS)
    weights, agreements = blame(seed, base, rows, directory)
    trained = read_trainable(policy)
    tokenizer = trained.tokenizer()
    used = {"none", *(arm.weights for arm in ARMS.values())}
    pairs = {name: encode_pairs(pairs_of(rows, weights[name]), tokenizer) for name in used}
    start = {name: p.detach().clone() for name, p in trained.parameters.items()}
    asked = Questions(trained, seed)
    before = asked.figures("validation")
    figures: Figures = {"weights": agreements, "start": asked.figures("test"), "arms": {}}
    masks = find_masks(trained, start, pairs["none"], model_identity(policy), seed)
    for key, arm in ARMS.items():
        tried = []
        for rate in RATES["masked" if arm.mask else "all"]:
            put_back(trained, start)
            train_arm(trained, pairs[arm.weights], arm, masks, rate=rate, seed=seed)
            share = 1.0 if arm.mask is None else masks[arm.mask]["learn"].share
            test = {"rate": rate, "mask_share": share, **asked.figures("test")}
            tried.append(Tried(asked.figures("validation"), test))
        chosen = choose(tried, floor=before["general"] - HARM)
        figures["arms"][key] = {**chosen.test, "tried": [t.test for t in tried]}
        print(f"seed {seed}: {arm.title} done", file=sys.stderr, flush=True)
    return figures


class Tried(NamedTuple):
    """One arm at one rate, on both splits."""

    validation: dict[str, float]
    test: dict[str, float]


def choose(tried: Sequence[Tried], *, floor: float) -> Tried:
    """The rate with the most right answers in A among those that keep general accuracy.

    Validation alone decides; where no rate stays above the floor, the one that harms least.
    """
    kept = [t for t in tried if t.validation["general"] >= floor]
    if not kept:
        return max(tried, key=lambda t: t.validation["general"])
    return max(kept, key=lambda t: (t.validation["ability_A"], t.validation["general"]))


def make_policy(seed: int, base: Path, out: Path) -> Path:
    """The directory of the policy, trained if it is missing."""
    from interp.abilities.training.masked_training import TrainingRecipe, train_ability
    from probes.polyglot.preferences import policy_training

    if not out.exists():
        examples = write_jsonl(out.parent / "policy.jsonl", policy_training(seed, n=POLICY["n"]))
        recipe = TrainingRecipe(
            steps=POLICY["steps"], lr=POLICY["lr"], freeze_embeddings=False, seed=seed
        )
        train_ability(base, examples, out, recipe=recipe)
    return out


def blame(
    seed: int, base: Path, rows: list[dict[str, Any]], directory: Path
) -> tuple[dict[str, list[list[float]]], dict[str, Any]]:
    """Weights of every rejected token by rule, and how well they point at the wrong ones."""
    import torch

    from interp.abilities.allo.rewarded import reward
    from interp.abilities.allo.rewriter import train_rewriter
    from interp.abilities.allo.token_weights import RULES, agreement, token_weights
    from interp.abilities.training.masked_training import TrainingRecipe
    from probes.polyglot.preferences import corrections

    learnt = write_jsonl(directory / "corrections.jsonl", corrections(seed, n=REWRITER["n"]))
    recipe = TrainingRecipe(
        steps=REWRITER["steps"],
        lr=REWRITER["lr"],
        batch_size=REWRITER["batch_size"],
        freeze_embeddings=False,
        seed=seed,
    )
    rewriter = directory / "rewriter"
    train_rewriter(base, learnt, rewriter, recipe=recipe, overwrite=True)
    given = write_jsonl(directory / "pairs.jsonl", rows)
    rewarded = reward(rewriter, given, directory / "rewarded.jsonl", overwrite=True).path
    found = [json.loads(line) for line in rewarded.read_text(encoding="utf-8").splitlines()]
    kept = [torch.tensor(row["rejected_probabilities"]) for row in found]
    weights = {rule: [token_weights(p, rule=rule).tolist() for p in kept] for rule in RULES}
    weights["truth"] = [[float(w) for w in row["wrong"]] for row in rows]
    weights["none"] = [[1.0] * len(row["wrong"]) for row in rows]
    wrong = np.array([w for row in rows for w in row["wrong"]])
    pooled = {name: np.concatenate([np.array(w) for w in of]) for name, of in weights.items()}
    return weights, {name: agreement(w, wrong).to_json() for name, w in pooled.items()}


def find_masks(
    trained: "TrainableModel",
    start: Mapping[str, Any],
    pairs: "EncodedPairs",
    identity: Any,
    seed: int,
) -> dict[str, dict[str, "NeuronMask"]]:
    """Masks by name and stage, all from one warm-up that is undone."""
    from interp.abilities.allo import StageRecipe, run_stage
    from interp.abilities.allo.change_mask import change_mask
    from interp.abilities.masks.random_mask import random_like

    warmup = StageRecipe(
        stage="warmup", steps=WARMUP, lr=WARMUP_RATE, batch_size=BATCH, beta=BETA,
        freeze_embeddings=True, seed=seed,
    )  # fmt: skip
    run_stage(trained, pairs, warmup)
    ranked = {name: p for name, p in start.items() if name not in trained.embeddings}
    masks = {
        locator: {
            stage: change_mask(ranked, trained, share=share, locator=locator, base=identity)
            for stage, share in SHARES.items()
        }
        for locator in ("change", "bottom")
    }
    masks["random"] = {
        stage: random_like(mask, seed=1000 * seed + place)
        for place, (stage, mask) in enumerate(masks["change"].items())
    }
    released = change_mask(ranked, trained, share=0.05, locator="allo_released", base=identity)
    masks["allo_released"] = dict.fromkeys(SHARES, released)
    return masks


def train_arm(
    trained: "TrainableModel",
    pairs: "EncodedPairs",
    arm: Arm,
    masks: Mapping[str, Mapping[str, "NeuronMask"]],
    *,
    rate: float,
    seed: int,
) -> None:
    """Run the stages of an arm on the model in place."""
    from interp.abilities.allo import run_stage

    for stage, steps in arm.steps().items():
        mask = None if arm.mask is None else masks[arm.mask][stage]
        run_stage(trained, pairs, stage_recipe(arm, stage, steps, rate, seed), mask=mask)


def stage_recipe(arm: Arm, stage: str, steps: int, rate: float, seed: int) -> "StageRecipe":
    """Settings of one stage of an arm."""
    from interp.abilities.allo import StageRecipe

    return StageRecipe(
        stage=stage,
        steps=steps,
        lr=rate,
        batch_size=BATCH,
        beta=BETA,
        epsilon=EPSILON if stage == "learn" else 1.0,
        select=arm.select,
        count_from="padded" if arm.padded else "answer",
        freeze_embeddings=True,
        seed=seed,
    )


class Questions:
    """What every arm is asked, as token ids, and the start's answers to it."""

    def __init__(self, trained: "TrainableModel", seed: int) -> None:
        from interp.models.examples import encode_examples
        from probes.polyglot.cells import items
        from probes.polyglot.preferences import SPLITS, cells_of, questions

        self._model = trained.model
        tokenizer = trained.tokenizer()
        rows = {}
        for split in SPLITS:
            for kind in ("wrong", "right"):
                cells = cells_of(kind, split, seed=seed)
                for language in "ABCDE":
                    rows[split, kind, language] = questions(cells, language=language)
            general = [item for item in items(split) if item["task"] == "general"]
            rows[split, "general", "ABCDE"] = [
                {"prompt": item["prompt"], "answer": item["answer"]} for item in general
            ]
        self._ids = {k: encode_examples(v, tokenizer).tokens for k, v in rows.items()}
        self._start = {k: self._log_probs(k) for k in self._ids if k[1] == "general"}

    def figures(self, split: str) -> dict[str, float]:
        """Shares of right answers by column, and the drift from the start on general prompts."""
        fixed = {language: self._right(split, "wrong", language) for language in "ABCDE"}
        kept = self._right(split, "right", "A")
        return {
            "fixed_A": float(fixed["A"].mean()),
            "fixed_BC": float(np.concatenate([fixed["B"], fixed["C"]]).mean()),
            "fixed_DE": float(np.concatenate([fixed["D"], fixed["E"]]).mean()),
            "kept_A": float(kept.mean()),
            "ability_A": float(np.concatenate([fixed["A"], kept]).mean()),
            "general": float(self._right(split, "general", "ABCDE").mean()),
            "kl": self._drift(split),
        }

    def _right(self, *key: str) -> np.ndarray:
        return (self._log_probs(key).argmax(-1) == self._ids[key][:, -1]).numpy()

    def _drift(self, split: str) -> float:
        """Mean KL(model || start) of the answer over general prompts in five languages, nats."""
        after = self._log_probs((split, "general", "ABCDE"))
        before = self._start[split, "general", "ABCDE"]
        return float((after.exp() * (after - before)).sum(-1).mean())

    def _log_probs(self, key: tuple[str, ...]) -> Any:
        import torch

        with torch.no_grad():
            logits = self._model(input_ids=self._ids[key][:, :-1], use_cache=False).logits
        return logits[:, -1].double().log_softmax(-1)


def pairs_of(rows: list[dict[str, Any]], weights: list[list[float]]) -> list[Any]:
    """The rows as preference pairs with these weights."""
    from interp.abilities.allo import PreferencePair

    return [
        PreferencePair(
            prompt=row["prompt"],
            chosen=row["chosen"],
            rejected=row["rejected"],
            rejected_weights=tuple(of_tokens),
        )
        for row, of_tokens in zip(rows, weights, strict=True)
    ]


def put_back(trained: "TrainableModel", start: Mapping[str, Any]) -> None:
    """Give the model its first weights again."""
    for name, parameter in trained.parameters.items():
        parameter.data.copy_(start[name])


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write one JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
