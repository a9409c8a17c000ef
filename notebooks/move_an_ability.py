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
# # Can an ability be moved to another model as a file?
#
# `polyglot` is a small bundled model of five made-up languages, A to E, that share numbers and
# operations. It answers `gul ken plus ->A` (three plus four, in A) in A, B and C, and has hardly
# seen D and E. Nobody has taught it the operation `zorn`.
#
# We teach `zorn` in language A only, at a fifth of the weights that we locate first; take what
# changed out as a file; add the file to a model that has since learnt D and E; and ask that model
# for `zorn` in D and E, where it has never seen it. The last cell holds the answer, with its doubt.
#
# Everything runs offline, on two CPU cores, in less than a minute.

# %%
import tempfile
from pathlib import Path

import numpy as np
import torch

import interp
from interp.abilities.masks.mask_layout import mask_layout
from interp.abilities.masks.random_mask import random_like
from interp.abilities.comparing.verify import Candidates
from interp.capture.units import unit_moments
from interp.evaluation.items import read_items
from interp.plots.ability import mask_grid, transfer_figure
from interp.plots.circuitsvis import colored_tokens
from probes.polyglot import write_data

torch.set_num_threads(1)  # the model is too small to share among threads
folder = Path(tempfile.mkdtemp(prefix="interp-notebook-"))
data = folder / "data"
write_data(data, seed=0)
sorted(file.name for file in data.iterdir())

# %% [markdown]
# ## Load
# A model is a Hugging Face directory, a hub id or a bundled name. What comes back is a
# `TransformerBridge`: a transformers model whose every intermediate tensor has a hook.

# %%
model = interp.load("polyglot")


def answer(prompt: str) -> str:
    """The likeliest next word."""
    logits = model(model.to_tokens(prompt))
    return model.to_string(logits[0, -1].argmax())


print(answer("gul ken plus ->A"), "· three plus four is seven, and", "nud", "is seven in A")
assert answer("gul ken plus ->A") == "nud"
{line.prompt: (answer(line.prompt), line.answer) for line in read_items(data / "test.jsonl")[:3]}

# %% [markdown]
# ## Record
# Activations of one site over a text, a row for every token, in a store that survives being killed
# and says what it left out. The rows add up: asked = stored + masked + missing.

# %%
site = "blocks.2.hook_resid_post"
corpus = interp.open_corpus(data / "general.txt", "polyglot", length=40)
store = interp.record(model, corpus, [site], folder / "store", max_tokens=10_000)
store.verify()
ending = store.manifest.ending
assert ending.asked == ending.stored + ending.masked + ending.missing == 10_000
store

# %% [markdown]
# The unit whose most unusual token lies furthest from its mean, on the first tokens of the text.
# Blue is below zero, red above; hover over a token for its number.

# %%
moments = unit_moments(store, site, max_rows=10_000)
unit = int(moments.reach.argmax())
words = [f" {store.vocabulary[token]}" for token in store.column("token", 0, 80)]
values = store.rows(site, 0, 80)[:, unit]
assert np.isclose(moments.mean[unit], store.rows(site, 0, 10_000)[:, unit].mean(), atol=1e-4)
colored_tokens(words, values, caption=f"unit {unit} of {site}")

# %% [markdown]
# ## Locate
# A short training on the ability moves some weights more than others. The mask holds the fifth of
# them that moved most; embeddings are left alone. By chance every cell of the picture would have
# the same share, which is white.

# %%
mask = interp.locate("polyglot", data / "ability.jsonl", share=0.2, split_halves=False)
layout = mask_layout(mask)
assert abs(layout.expected_share - 0.2) < 1e-3
assert layout.chosen.sum() + sum(count for count, _ in layout.outside.values()) == mask.count
mask_grid(layout)

# %% [markdown]
# ## Train at the mask, and extract
# Training moves the masked weights only; every other weight stays the base's. What is left to do is
# a subtraction, streamed tensor by tensor, and the result is a small file. The null is the same
# with as many weights of every tensor drawn at random. (Training writes float32, the base is
# float16: `cast` says that this is meant.)

# %%
examples = data / "ability.jsonl"
masks = {"located": mask, "random": random_like(mask, seed=0)}
assert masks["random"].counts_by_tensor() == mask.counts_by_tensor()
weights = {}
for name, chosen in masks.items():
    taught = interp.train_ability("polyglot", examples, folder / f"taught-{name}", mask=chosen)
    weights[name] = interp.extract("polyglot", taught, folder / name, mask=chosen, cast=True)
weights["located"]

# %% [markdown]
# ## Transfer
# `polyglot/language` is the base after it has learnt D and E, without `zorn`. Base, plus what the
# language changed, plus what the ability changed, is a new model directory, which plain
# transformers opens.

# %%
merged = interp.transfer("polyglot", weights["located"], folder / "merged", language="polyglot/language")
assert (merged.path / "config.json").is_file()
assert 0.2 < merged.share_changed < 1
merged.share_changed

# %% [markdown]
# ## Verify
# The scales of every method are chosen on validation questions from one grid; the test questions
# are asked once. Plain addition takes all that changed in a model trained without any mask.

# %%
candidates = Candidates(
    base="polyglot",
    ability_model="polyglot/ability",
    language_model="polyglot/language",
    weights=weights["located"],
    random_weights=weights["random"],
    ceiling="polyglot/ceiling",
)
questions = [data / "validation.jsonl", data / "test.jsonl"]
table = interp.verify(candidates, questions, ability_task="ability", targets=["D", "E"])
table

# %%
transfer_figure(table)

# %% [markdown]
# ## Does the claim hold?
# The ability has arrived if transfer's interval lies above those of the base and of either parent
# alone, and nothing was paid for it if general accuracy stays within .05 of the language model's.

# %%
arrived = table.cell("transfer", "target")
for row in ("base", "language_model", "ability_model"):
    assert arrived.low > table.cell(row, "target").high
general = table.cell("transfer", "general")
assert general.value > table.cell("language_model", "general").value - 0.05
print(f"zorn in D and E: {arrived}, from {table.cell('base', 'target')} in the base")
print(f"general questions: {general}")
print(*table.statements, sep="\n")
