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
# # Does this model have modules, and how would I know if it did not?
#
# Two small decoders answer the same six functions of two symbols, `add`, `product`, `max`, `xor`,
# `difference` and `quadratic`, from the same start, on the same data, and both never err. In one of
# them, `planted`, training put a price on every neuron outside the block of the function asked: six
# blocks of 32 neurons a layer, and we know which. The other, `control`, was only kept as sparse.
# Whatever is found in both is no sign of modules.

# %%
import tempfile
from pathlib import Path

import torch

import interp
from interp.models.reference import BUNDLED
from interp.modules.functional import functional_experts
from interp.modules.partitioning.coactivation import GraphSettings, partition_by_coactivation
from interp.modules.perturbation import perturb
from interp.neurons.score import score_neurons
from probes.functions import FUNCTIONS, known_blocks, known_partitions
from probes.functions.labelled import SHUFFLED, function_items, labelled_lines

torch.set_num_threads(1)  # the models are too small to share among threads
folder = Path(tempfile.mkdtemp(prefix="interp-notebook-"))
SIBLINGS = ("planted", "control")
SITES = ("blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post")
model = {sibling: interp.load(f"functions/{sibling}") for sibling in SIBLINGS}
print(model["planted"].generate("max 3 1 4 1 5 2 6 7 :", max_new_tokens=8, verbose=False))

# %% [markdown]
# ## What the neurons do, on lines whose function is known
# A label a function, on the eight positions where an answer is predicted; beside it the same labels
# dealt to other lines.

# %%
lines = labelled_lines(
    seed=0, n_per_function=256, model=BUNDLED / "functions" / "planted", split="scoring"
)
store = {
    sibling: interp.record(model[sibling], lines, SITES, folder / sibling, max_tokens=30_000)
    for sibling in SIBLINGS
}
score, shuffled = (
    {s: [score_neurons(store[s], site=site, labels=labels) for site in SITES] for s in SIBLINGS}
    for labels in (FUNCTIONS, SHUFFLED)
)
score["planted"][1]

# %% [markdown]
# ## Is a specialised neuron a sign of a module?
# The share of neurons in the last layer that detect some function, with the false discovery rate at
# 0.05.

# %%
for sibling in SIBLINGS:
    real, by_chance = (s[sibling][1].specialised().any(axis=0).mean() for s in (score, shuffled))
    print(f"{sibling}: {real:.2f} of the neurons detect a function, by shuffled labels {by_chance:.2f}")
    assert real > 0.5
    assert by_chance < 0.02

# %% [markdown]
# No: the control's neurons are specialised too. Training does that to neurons without any module.
#
# ## Do the best neurons of a function sit together?
# Twelve experts of 16 neurons a layer: first the split that was planted, two experts a block, which
# in the control is one like any other. An expert is functional where it holds more of a function's
# best neurons than a random set of its size.

# %%
split = known_partitions()
functional = {s: functional_experts(score[s], split, draws=50) for s in SIBLINGS}
for sibling in SIBLINGS:
    found = int(functional[sibling].functions_with_an_expert("published")[1])
    chance = functional[sibling].proportion(1, "published").null_mean
    print(f"{sibling}: {found} of 6 functions have an expert; random splits: {chance:.4f} of experts")
assert functional["planted"].functions_with_an_expert("published")[1] >= 4
assert functional["control"].functions_with_an_expert("published")[1] <= 2

# %% [markdown]
# ## Does the model need them, and only for that?
# For every function the two experts a layer whose neurons tell it from the others are held at their
# mean, on fresh sequences. A module costs its own function, spares the others, and random neurons do
# no such harm.

# %%
asked = function_items(seed=0, n_per_function=64)
without = {
    s: perturb(model[s], score[s], split, asked, draws=4, bootstrap=200, store=store[s])
    for s in SIBLINGS
}
without["planted"]

# %%
without["control"]

# %%
for sibling in SIBLINGS:
    lost, chance = without[sibling].own().mean(), without[sibling].controls["random neurons"][0].mean()
    others = without[sibling].other().mean()
    print(f"{sibling}: own {lost:.3f}, others {others:.3f}, under random neurons {chance:.3f}")
assert without["planted"].specificity("accuracy").value > 0.15
assert without["planted"].over("random neurons", "accuracy") > 3
assert without["control"].specificity("accuracy").value < 0.06

# %% [markdown]
# ## And without the answer sheet?
# Nobody hands out the split of a real model. Experts of neurons that fire together, made from the
# same store, should find what was planted, and less in the control. They find something there too,
# since neurons that share a function fire together whether or not they were made to.


# %%
def by_activity(sibling):
    h = [store[sibling].rows(site, 0, store[sibling].n_rows) for site in SITES]
    where = store[sibling].column("add", 0, store[sibling].n_rows) >= 0
    settings = GraphSettings(n_restarts=4, n_shuffles=1)
    return [
        partition_by_coactivation(torch.from_numpy(rows[where]), 12, site=site, settings=settings)
        for rows, site in zip(h, SITES, strict=True)
    ]


blind = {
    s: perturb(model[s], score[s], by_activity(s), asked, draws=1, bootstrap=200, store=store[s])
    for s in SIBLINGS
}
specific = {s: blind[s].specificity("accuracy") for s in SIBLINGS}
for sibling in SIBLINGS:
    print(f"{sibling}: own minus other {specific[sibling]}")
assert specific["planted"].value - specific["control"].value > 0.1

# %% [markdown]
# ## Which neurons were they?
# The experts chosen for each function in the last layer, by the blocks that they were planted in.

# %%
blocks = known_blocks(0)[1]
for number, function in enumerate(FUNCTIONS):
    chosen = without["planted"].chosen[function][SITES[1]]
    own = [bool((blocks[split[1].members(expert)] == number).all()) for expert in chosen]
    print(f"{function}: experts {chosen}, in its own block: {own}")
    assert all(own)

# %%
planted, control = (without[s].specificity("accuracy") for s in SIBLINGS)
print("specialised neurons: both siblings have them, so they are no sign of modules")
print("functional experts: planted has them, the control and random splits do not")
print(f"own minus other accuracy lost without them: planted {planted}, control {control}")
print("a model has modules where all three hold: together, needed, and for that function alone")
