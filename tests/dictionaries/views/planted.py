"""A store in which token t writes direction t, and a dictionary whose feature t reads it."""

import json
from pathlib import Path

import numpy as np
import torch
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

from interp.capture.header import COLUMNS, StoreHeader
from interp.capture.manifest import Ending, read_manifest, write_manifest
from interp.capture.store import VOCABULARY
from interp.capture.writer import StoreWriter
from interp.dictionaries.card import DictionaryCard
from interp.results.hashing import sha256_file
from interp.results.provenance import Provenance
from tests.models import D_VOCAB

WORDS = [f" w{i}" for i in range(D_VOCAB - 3)] + ["<b>", "\u202e", "&"]
D_IN, D_SAE, N_NEURONS = 32, 24, 40
SITE, NEURONS = "blocks.0.hook_resid_post", "blocks.1.mlp.hook_post"
LENGTH, DOCUMENT = 20, 30
SILENT = D_SAE - 1
LOUD_NEURON = 7
"""Neuron 7 carries what feature 3 does."""
LANGUAGE_TOKEN = 5
"""Token 5 stands in documents of language 2 alone."""


def directions() -> np.ndarray:
    """Orthonormal directions, one a feature."""
    rng = np.random.default_rng(7)
    return np.linalg.qr(rng.standard_normal((D_IN, D_IN)))[0][:D_SAE].astype(np.float32)


def columns_of(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng, rows = np.random.default_rng(seed), np.arange(n)
    document = rows // DOCUMENT
    language = rng.integers(0, 3, document.max() + 1)[document]
    token = rng.integers(0, D_VOCAB, n)
    token = np.where((token == LANGUAGE_TOKEN) & (language != 2), 6, token)
    columns = {
        "token": token,
        "document": document,
        "sequence": rows // LENGTH,
        "position": rows % LENGTH,
        "is_bos": rows % LENGTH == 0,
        "is_special": rows % LENGTH == 0,
    }
    typed = {name: column.astype(COLUMNS[name]) for name, column in columns.items()}
    labels = {"language": language.astype(np.int64), "weight": rng.random(n)}
    return typed | labels | {"even": (token % 2 == 0).astype(np.uint8)}


def sites_of(columns: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
    rng, token = np.random.default_rng(seed + 1), columns["token"]
    n, of_token = len(token), np.zeros((D_VOCAB, D_IN), np.float32)
    of_token[: D_SAE - 1] = directions()[:-1]
    strength = rng.uniform(1.0, 3.0, (n, 1)).astype(np.float32)
    neurons = rng.standard_normal((n, N_NEURONS)).astype(np.float32)
    neurons[:, LOUD_NEURON] += 4 * (token == 3) * strength[:, 0]
    return {SITE: of_token[token] * strength, NEURONS: neurons + 50.0}


def planted_store(
    path: Path, *, n: int = 3000, poison: float | None = None, with_words: bool = True
) -> Path:
    """Two shards of planted rows; `poison` is put into row 1234."""
    path.mkdir(parents=True)
    columns = columns_of(n)
    sites = sites_of(columns)
    if poison is not None:
        sites[SITE][1234, 3] = poison
    digest = None
    if with_words:
        (path / VOCABULARY).write_text(json.dumps(WORDS), encoding="utf-8")
        digest = sha256_file(path / VOCABULARY)
    header = StoreHeader(
        sites={name: array.shape[1:] for name, array in sites.items()},
        dtype="float32",
        columns={name: str(array.dtype) for name, array in columns.items()},
        asked=n,
        batch_size=2,
        sequences_per_forward=2,
        sequences_per_shard=n // LENGTH // 2,
        length=LENGTH,
        drop_special=False,
        absent_layers={},
        vocabulary_sha256=digest,
        fidelity={},
        provenance=Provenance.collect(
            "interp capture", model_hash="ab" * 32, corpus_hash="cd" * 32, seed=None, settings={}
        ),
    )
    header.write(path)
    writer = StoreWriter(path, header, queue_depth=1)
    for index, (start, stop) in enumerate(((0, n // 2), (n // 2, n))):
        writer.begin(index, max_rows=n)
        writer.append(
            {name: array[start:stop] for name, array in sites.items()},
            {name: array[start:stop] for name, array in columns.items()},
        )
        writer.commit(sequences=(start // LENGTH, stop // LENGTH), masked=0, padding=0)
    writer.close()
    ending = Ending(
        asked=n, stored=n, masked=0, missing=0, padding=0, sequences=n // LENGTH, reason=""
    )
    write_manifest(path, read_manifest(path).shards, ending)
    return path


def planted_dictionary(*, model_hash: str | None = None, d_in: int = D_IN) -> JumpReLUSAE:
    """Feature t reads and writes direction t; the last has a threshold that nothing reaches."""
    with torch.random.fork_rng():
        sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=d_in, d_sae=D_SAE, device="cpu"))
    read = torch.zeros(D_SAE, d_in)
    read[:, : min(d_in, D_IN)] = torch.from_numpy(directions())[:, : min(d_in, D_IN)]
    sae.W_enc.data, sae.W_dec.data = read.T.contiguous(), read.clone()
    sae.threshold.data.fill_(0.5)
    sae.threshold.data[SILENT] = 1e6
    facts = {**vars(DictionaryCard.of(sae)), "site": SITE, "model_hash": model_hash}
    DictionaryCard(**facts).write_to(sae)
    return sae.eval()
