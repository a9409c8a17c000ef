"""A small study with planted numbers, its texts plain or hostile, made without a model."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from interp.abilities.masks.mask import NeuronMask
from interp.capture.header import COLUMNS, StoreHeader
from interp.capture.manifest import Ending, read_manifest, write_manifest
from interp.capture.store import VOCABULARY
from interp.capture.writer import StoreWriter
from interp.evaluation.compare import compare
from interp.evaluation.comparison import Column, Comparison, Row
from interp.evaluation.items import Item
from interp.models.identity import ModelIdentity
from interp.results.hashing import sha256_file
from interp.results.provenance import Provenance
from interp.results.study import Study

SITES = {"blocks.0.hook_resid_post": (16,), "blocks.1.attn.hook_z": (2, 4)}
WORDS = (" the", " cat", " sat", " on", " mat", " dog", " ran", ".", "<s>")
LENGTH = 24
LOUD_UNIT, LOUD_ROW = 3, 100
N_LAYERS, D_MLP, D_MODEL = 4, 32, 16
PLANTED_LAYER, PLANTED_NEURON = 2, 7


def provenance(command: str = "interp demo") -> Provenance:
    return Provenance(
        command=command,
        model_hash="12" * 32,
        corpus_hash="34" * 32,
        seed=0,
        versions={"interp": "0.1.0", "numpy": "2"},
        settings={"locator": "change", "share": 0.2},
    )


def sample_store(
    path: Path, *, words: Sequence[str] | None = WORDS, n_sequences: int = 12, seed: int = 0
) -> Path:
    """A store of normal noise in which unit 3 of the first site is 25 at row 100."""
    path.mkdir(parents=True)
    header = _store_header(path, words)
    header.write(path)
    rng, n = np.random.default_rng(seed), n_sequences * LENGTH
    columns = _columns(n, n_tokens=len(words) if words else 50, rng=rng)
    sites = {
        name: rng.standard_normal((n, *shape)).astype(np.float32) for name, shape in SITES.items()
    }
    sites["blocks.0.hook_resid_post"][LOUD_ROW % max(n, 1) : LOUD_ROW + 1, LOUD_UNIT] = 25.0
    writer = StoreWriter(path, header, queue_depth=1)
    for index, (start, stop) in enumerate(((0, n // 2), (n // 2, n))):
        writer.begin(index, max_rows=n)
        writer.append(
            {name: array[start:stop] for name, array in sites.items()},
            {name: array[start:stop] for name, array in columns.items()},
        )
        sequences = (start // LENGTH, stop // LENGTH)
        writer.commit(sequences=sequences, masked=0, padding=0)
    writer.close()
    write_manifest(path, read_manifest(path).shards, _ending(n, n_sequences))
    return path


def _ending(n: int, n_sequences: int) -> Ending:
    return Ending(
        asked=1000,
        stored=n,
        masked=0,
        missing=1000 - n,
        padding=0,
        sequences=n_sequences,
        reason="the text ended",
    )


def _store_header(path: Path, words: Sequence[str] | None) -> StoreHeader:
    digest = None
    if words is not None:
        (path / VOCABULARY).write_text(json.dumps(list(words)), encoding="utf-8")
        digest = sha256_file(path / VOCABULARY)
    return StoreHeader(
        sites=SITES,
        dtype="float32",
        columns=dict(COLUMNS),
        asked=1000,
        batch_size=2,
        sequences_per_forward=2,
        sequences_per_shard=6,
        length=LENGTH,
        drop_special=False,
        absent_layers={},
        vocabulary_sha256=digest,
        fidelity={},
        provenance=provenance("interp capture polyglot"),
    )


def _columns(n: int, *, n_tokens: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    rows = np.arange(n)
    values = {
        "token": rng.permutation(np.arange(n) % n_tokens),
        "document": rows // (2 * LENGTH),
        "sequence": rows // LENGTH,
        "position": rows % LENGTH,
        "is_bos": rows % LENGTH == 0,
        "is_special": rows % LENGTH == 0,
    }
    return {name: array.astype(COLUMNS[name]) for name, array in values.items()}


def sample_mask(*, share: float = 0.1, seed: int = 0) -> NeuronMask:
    """A random mask of MLP and attention, with every weight of one neuron chosen."""
    rng, masks = np.random.default_rng(seed), {}
    for layer in range(N_LAYERS):
        shapes = {
            "self_attn.q_proj": (D_MODEL, D_MODEL),
            "mlp.gate_proj": (D_MLP, D_MODEL),
            "mlp.up_proj": (D_MLP, D_MODEL),
            "mlp.down_proj": (D_MODEL, D_MLP),
        }
        for kind, shape in shapes.items():
            masks[f"model.layers.{layer}.{kind}.weight"] = rng.random(shape) < share
    inside = f"model.layers.{PLANTED_LAYER}.mlp."
    masks[inside + "gate_proj.weight"][PLANTED_NEURON] = True
    masks[inside + "up_proj.weight"][PLANTED_NEURON] = True
    masks[inside + "down_proj.weight"][:, PLANTED_NEURON] = True
    masks["model.norm.weight"] = np.zeros(D_MODEL, dtype=bool)
    return NeuronMask.from_dense(
        masks,
        level="entry",
        recipe={"locator": "change", "share": share},
        base=_identity(sum(mask.size for mask in masks.values())),
        provenance=provenance("interp ability locate polyglot"),
    )


def _identity(n: int) -> ModelIdentity:
    return ModelIdentity(
        root="12" * 32,
        tensors={},
        n=n,
        dtype="F16",
        config_digest="56" * 32,
        tokenizer_digest=None,
        tied=(),
    )


def sample_comparison(
    *, titles: Sequence[str] = ("base", "ability model", "transfer", "random entries"), seed=0
) -> Comparison:
    """Four models on 60 items in two languages; the third is right most often."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.08, 0.11, 0.6, 0.4])
    items = [
        Item(
            id=f"{task}-{language}-{i}",
            prompt="p",
            answer="a",
            task=task,
            language=language,
            split="test",
        )
        for task in ("ability", "general")
        for language in ("D", "E")
        for i in range(30)
    ]
    right = np.where([item.task == "ability" for item in items], shares[:, None], 0.95)
    keys = ("base", "ability_model", "transfer", "random_neurons")
    changed = (0.0, None, 0.2, 0.2)
    return compare(
        rows=[
            Row(key=key, title=title, share_changed=share, setting={})
            for key, title, share in zip(keys, titles, changed, strict=True)
        ],
        columns=[
            _column("target", "ability in D, E", "ability", "mean"),
            _column("general", "general", "general", "mean"),
            _column("general_worst", "general, worst language", "general", "worst"),
        ],
        items=items,
        correct=rng.random((4, len(items))) < right,
        reference="transfer",
        seed=0,
        provenance=provenance("interp ability verify polyglot"),
    )


def _column(key: str, title: str, task: str, statistic) -> Column:
    return Column(key=key, title=title, tasks=(task,), languages=("D", "E"), statistic=statistic)


def sample_study(
    path: Path, *, words: Sequence[str] | None = WORDS, titles: Sequence[str] = ()
) -> Study:
    """A study with a store, a mask and a comparison; `titles` replace the plain ones in turn."""
    named = list(titles) or ["A small study", "Activations", "Located", "Transfer"]
    study = Study.create(path, title=named[0], provenance=provenance())
    store = sample_store(path / "stores" / "activations", words=words)
    study = study.add("activations", kind="store", title=named[1], path=store)
    mask = sample_mask().save(path / "masks" / "located")
    study = study.add("located", kind="mask", title=named[2], path=mask)
    table = sample_comparison(titles=titles[:4]) if titles else sample_comparison()
    saved = table.save(path / "comparisons" / "transfer")
    return study.add("transfer", kind="comparison", title=named[3], path=saved)
