"""How often a model answers rightly, by relation and by kind of label task."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool
from transformers import PreTrainedModel

from interp.results.intervals import Interval, wilson
from probes.relations.batches import encode
from probes.relations.corpus import draw_documents
from probes.relations.document import Document
from probes.relations.grammar.documents import label_document
from probes.relations.grammar.labels import KINDS
from probes.relations.worlds import WORLDS

N_DOCUMENTS = 200
SEED = 0
_BATCH = 32
_FIRST_SHOTS = 4
"""Lines of a task that are not counted: what the labels are cannot be known yet."""
Accuracies = dict[str, tuple[int, int, Interval]]


def accuracies(model: PreTrainedModel, name: str) -> dict[str, Accuracies]:
    """Right answers of how many, with 95% Wilson interval: `questions` by relation, and for the
    grammar's world `labels` by kind of task, from its fifth line on."""
    documents = draw_documents(name, n=N_DOCUMENTS, seed=SEED)
    by_relation = _count(model, name, documents, [_by_relation(d) for d in documents])
    found = {"questions": _shares(by_relation, WORLDS[name].relations)}
    if name == "grammar":
        rng = np.random.default_rng([SEED, 4])
        labels = [(kind, label_document(rng, kind)) for _ in range(40) for kind in KINDS]
        places = [{p: kind for p in d.labels[_FIRST_SHOTS:]} for kind, d in labels]
        by_kind = _count(model, name, [d for _, d in labels], places)
        found["labels"] = _shares(by_kind, KINDS)
    return found


def _by_relation(document: Document) -> dict[int, str]:
    return {place: fact.relation for fact in document.asked for place in fact.asked}


def _count(
    model: PreTrainedModel,
    name: str,
    documents: Sequence[Document],
    groups: Sequence[dict[int, str]],
) -> dict[str, list[bool]]:
    vocabulary = WORLDS[name].vocabulary
    found: dict[str, list[bool]] = defaultdict(list)
    for first in range(0, len(documents), _BATCH):
        chosen = documents[first : first + _BATCH]
        right = _right(model, chosen, name)
        for row, document, group in zip(right, chosen, groups[first:], strict=False):
            starts = vocabulary.encode(document.words)[1]
            for place, of in group.items():
                found[of].append(bool(row[starts[place]]))
    return found


def _right(
    model: PreTrainedModel, documents: Sequence[Document], name: str
) -> Bool[np.ndarray, "documents pos"]:
    """Whether each token is the likeliest after those before it; the first never is."""
    tokens = torch.from_numpy(encode(documents, WORLDS[name].vocabulary).tokens)
    with torch.no_grad():
        said = model(input_ids=tokens[:, :-1], use_cache=False).logits.argmax(-1)
    right = torch.zeros(tokens.shape, dtype=torch.bool)
    right[:, 1:] = said == tokens[:, 1:]
    return right.numpy()


def _shares(found: dict[str, list[bool]], names: Sequence[str]) -> Accuracies:
    return {
        name: (sum(found[name]), len(found[name]), wilson(sum(found[name]), len(found[name])))
        for name in names
    }
