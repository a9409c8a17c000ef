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
# # Which feature of a dictionary means something, and what shows it?
#
# `polyglot` answers lines such as `sut nud second ->A nud` in five made-up languages. At the tag
# `->A` it must have decided which number to say. Is there a feature for "the answer is seven",
# whatever the language? A name for a feature is a claim, so it has to be held against chance, on
# lines it was not chosen on, and against what happens when the feature is taken out.

# %%
import tempfile
from pathlib import Path

import numpy as np
import torch

import interp
from interp.dictionaries.feature_edits import scaled_features
from interp.dictionaries.views import search_features
from interp.interventions import intervened, splice
from interp.models.reference import BUNDLED
from interp.plots.dictionaries import density_histogram
from interp.plots.features import logit_bars
from interp.results.intervals import mean_t
from probes.polyglot.labelled import labelled_lines
from probes.polyglot.languages import LANGUAGES, NUMBERS, WORDS
from probes.polyglot.mixtures import Mixture

torch.set_num_threads(1)  # the model is too small to share among threads
folder = Path(tempfile.mkdtemp(prefix="interp-notebook-"))
base = BUNDLED / "polyglot" / "base"
model = interp.load("polyglot")
strong = Mixture(languages=(0.34, 0.33, 0.33, 0.0, 0.0), code_mixing=0.3, ability=0.0)
SITE, TAG, NUMBER = "blocks.3.hook_resid_post", 3, 7

# %% [markdown]
# ## A store, and a dictionary learnt from it
# Lines in the three languages that the model knows well, with the truth beside every token: the
# number a word stands for, the language, the operation, and at the tag the answer.

# %%
lines = labelled_lines(strong, n=6_000, seed=1, model=base)
store = interp.record(model, lines, [SITE], folder / "store", max_tokens=30_000, batch_size=256)
[path] = interp.train_dictionary(
    store, folder / "sae", site=SITE, d_sae=256, k=8, n_tokens=600_000, batch_size=1_000, lr=2e-3
)
dictionary = interp.open_dictionary(path)

# %% [markdown]
# ## Is it a good dictionary?
# On lines that ask what no line of the first store asks, beside what is as sparse and knows less: as
# many principal components, random directions, the model's own axes.

# %%
unseen = labelled_lines(strong, n=3_000, seed=2, model=base, held_out=True)
held_out = interp.record(model, unseen, [SITE], folder / "unseen", max_tokens=15_000, batch_size=256)
quality = interp.evaluate_dictionary(
    dictionary, held_out, model=model, corpus=unseen, n_spliced=5_000, predicted="last"
)
quality

# %%
for other in ("pca", "random", "neurons"):
    print(other, quality.cell(other, "explained_variance"))
print("dictionary", quality["explained_variance"], "with L0", quality["l0"])
assert quality["explained_variance"].low > quality.cell("random", "explained_variance").high
density_histogram(quality)

# %% [markdown]
# ## Which feature says "the answer is seven"?
# Views of all features in one pass over the first store, then a search by the label. The score is
# average precision; its null is how often the answer is seven at all.

# %%
views = interp.view_features(path, store, model="polyglot", labels=["answer", "number"])
hits = search_features(views, label=("answer", NUMBER), n=5)
for hit in hits:
    print(f"feature {hit.feature}: {hit.score:.3f}, null {hit.null:.3f}, q {hit.q_value:.1g}")
feature = hits[0].feature
views.feature(feature)

# %%
logit_bars(views.feature(feature))

# %% [markdown]
# ## Does it hold on other lines?
# The feature was chosen as the best of 256 on one store. On the questions held out from it, it is
# asked once.

# %%
again = interp.view_features(path, held_out, labels=["answer"])
kept = {hit.feature: hit for hit in search_features(again, label=("answer", NUMBER), n=256)}[feature]
print(f"held out: average precision {kept.score:.3f}, null {kept.null:.3f}")
assert kept.score > 3 * kept.null

# %% [markdown]
# ## Does the model use it?
# Taken out at the tag, the feature should cost the answers that are seven and spare the others; a
# feature that is as active and was not named should not. What changes is the log odds of the right
# answer (its probability is near 1 and would hide most of it), with 95% intervals over lines.


# %%
def log_odds(tokens, edits):
    with torch.no_grad(), intervened(model, edits):
        logits = model(tokens)[:, TAG].double()
    right = torch.nn.functional.one_hot(tokens[:, TAG + 1], logits.shape[-1]).bool()
    others = logits.masked_fill(right, -torch.inf).logsumexp(-1)
    return (logits[right] - others).numpy()


tokens = torch.cat([torch.from_numpy(np.asarray(b.tokens)) for b in unseen.batches(500)])
is_seven = np.isin(
    tokens[:, TAG + 1].numpy(), [WORDS.index(NUMBERS[language][NUMBER]) for language in LANGUAGES]
)
clean = log_odds(tokens, [])
n_active = np.array([views.feature(i).n_active for i in range(256)])
twin = next(int(i) for i in np.argsort(abs(n_active - n_active[feature])) if i != feature)
lost = {}
for name, which in (("the feature", feature), (f"a feature as active ({twin})", twin)):
    changed = log_odds(tokens, [splice(SITE, scaled_features(dictionary, [which]))]) - clean
    for group, where in (("seven", is_seven), ("other", ~is_seven)):
        lost[name, group] = mean_t(changed[where])
        print(f"without {name}, answers that are {group}: {lost[name, group]}")

# %%
seven, other = lost["the feature", "seven"], lost["the feature", "other"]
assert seven.high < other.low
assert abs(lost[f"a feature as active ({twin})", "seven"].value) < -seven.value / 5
print(f"feature {feature} means: the answer is {NUMBER}, in every language the model knows")
print(f"it tells those lines apart with average precision {kept.score:.2f}, chance {kept.null:.2f}")
print(f"without it they lose {-seven.value:.2f} of log odds, the others {-other.value:.3f}")
