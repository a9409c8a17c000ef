# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Where does an ability live, what is each part of the recipe worth, and what did the edit break?
#
# `polyglot` is taught the operation `zorn` in language A. MAET (arXiv 2410.07825) says: find the
# weights that hold it, take what changed there, subtract what the language alone changed, choose
# the tensors that are least like the language's, and add the rest to a model of another language.
#
# Here every part is held against leaving it out, with equal tuning, and the merged model against
# its base, cell by cell. The bundled model is small and its answers are all known; what holds here
# need not hold elsewhere, but the same cells run on a model of your own.

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import interp
from interp.abilities.comparing.ablation_table import ablation_table, gather_materials
from interp.abilities.maet import MaetRecipe, maet
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.mask_layout import mask_layout
from interp.abilities.training.masked_training import TrainingRecipe
from interp.abilities.masks.overlap import overlap
from interp.abilities.masks.random_mask import random_like
from interp.abilities.effects.side_effect_measurement import side_effects
from interp.abilities.undoing.undo import undo
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.plots.ability import mask_grid
from interp.plots.side_effects import side_effect_matrix
from probes.polyglot import write_data

torch.set_num_threads(1)  # the model is too small to share among threads
folder = Path(tempfile.mkdtemp(prefix="interp-notebook-"))
data = folder / "data"
write_data(data, seed=0)
questions = [data / "validation.jsonl", data / "test.jsonl"]

# %% [markdown]
# ## Where it lives
# A short training moves weights; the mask holds the fifth that moved most. Chance would share them
# out evenly, which is white.

# %%
entries = interp.locate("polyglot", data / "ability.jsonl", share=0.2, split_halves=False)
mask_grid(mask_layout(entries))

# %% [markdown]
# The same scores averaged over whole neurons (a row of `gate` and `up` with its column of `down`)
# and over whole heads. Do single weights and whole neurons tell the same story? The overlap is
# tested against masks that choose as many entries in every tensor at random.

# %%
by_level = {
    level: interp.locate(
        "polyglot", data / "ability.jsonl", share=0.25, level=level, split_halves=False
    )
    for level in ("neuron", "head")
}
for level, mask in by_level.items():
    found = overlap(entries, mask)
    print(
        f"{level}: shares {found.shared:,} entries with the entry mask, chance {found.expected:,.0f}"
    )
chance = overlap(entries, random_like(entries, seed=1))
print(f"a random mask: {chance.shared:,}, chance {chance.expected:,.0f}")
assert abs(chance.shared - chance.expected) < 5 * chance.standard_deviation

# %% [markdown]
# ## What each part is worth
# All trainings the ablations need (located, random and all entries, each with a control on general
# data), then every row with its settings chosen on validation questions, as many for each row, and
# asked once on the test questions.

# %%
recipe = MaetRecipe(share=0.2, training=TrainingRecipe(steps=250))
parts = {"ability": data / "ability.jsonl", "general": data / "general.jsonl"}
trial, materials = gather_materials(
    folder / "maet", "polyglot", **parts, language="polyglot/language", recipe=recipe
)
table = ablation_table(
    trial, materials, questions, ability_task="ability", targets=["D", "E"], n_settings=16
)
table

# %% [markdown]
# What the table supports, by exact paired tests. Two rows are worth a second look: plain addition,
# which locates, subtracts and selects nothing, and the random entries, which know nothing.

# %%
print(*table.statements, sep="\n\n")
target = {row.key: table.cell(row.key, "target") for row in table.rows}
assert target["maet"].low > target["language_model"].high
assert target["no_language"].value < target["maet"].value
print(f"\nthe whole method {target['maet']}, plain addition {target['plain_addition']}")

# %% [markdown]
# ## What the edit broke
# The merged model with the chosen settings, against its base. Every square is a task in a language;
# the harm index averages what was lost outside the target, beside what exchanging the two models'
# answers at random gives.

# %%
setting = next(row.setting for row in table.rows if row.key == "maet")
chosen = {name: setting[name] for name in ("beta", "k2", "gamma", "eta")}
moved = maet(
    "polyglot",
    **parts,
    out=folder / "maet",
    languages=["polyglot/language"],
    recipe=replace(recipe, **chosen),
)
report = side_effects(
    "polyglot",
    [str(moved.model)],
    questions,
    text=data / "general.txt",
    ability_task="ability",
    targets=["D", "E"],
    split="test",
)
side_effect_matrix(report)

# %%
harm = report.harms[0]
print(
    f"harm {harm.index:.4f}, by exchange {harm.null:.4f}, p {harm.p:.3g}; worst cell {harm.worst}"
)
print(f"share of weights changed: {report.weights[0].share_changed:.3f}")
assert 0 <= harm.index < 0.1

# %% [markdown]
# ## And back
# Subtracting what was added does not restore a model: the addition's rounding destroyed bits. The
# transfer says what it came from, so undoing it gives the base back bit for bit.

# %%
restored = undo(moved.model, folder / "restored", base="polyglot")
assert model_identity(folder / "restored").root == model_identity(directory_of("polyglot")).root
assert NeuronMask.load(moved.mask).count == int(0.2 * 213_568)
print("where it lives: more in some tensors than in others, the same story by neurons as by weights")
print(f"what it is worth: {target['maet']}, plain addition {target['plain_addition']}")
print(f"what it broke: {harm.index:.4f} of accuracy on average, most in {harm.worst}")
print(f"and back: {restored}")
