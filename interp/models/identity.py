"""Which model this is: a hash of every tensor, and one root over them, whatever the sharding.

identity = model_identity(Path("models/base"))
identity.root, identity.n, identity.tied
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from interp.models.architectures import read_config
from interp.models.tokenizer import tokenizer_digest
from interp.models.weight_files import TensorSpan, locate_tensors
from interp.results.atomic import write_json
from interp.results.errors import CorruptFile, Incomplete
from interp.results.hashing import sha256_bytes, sha256_json

_PIECE = 1 << 21
_SETTLED_NS = 2_000_000_000
_NOT_THE_MODEL = ("transformers_version", "_name_or_path")
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "shared.weight")
_HEADS = ("lm_head.weight", "embed_out.weight")


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """What two directories share when they hold the same model."""

    root: str
    """SHA-256 over the sorted (name, digest) pairs of `tensors`; no sharding or metadata in it."""
    tensors: dict[str, str]
    """SHA-256 of name, dtype, shape and bytes of every tensor, by name."""
    n: int
    """Entries in all."""
    dtype: str
    """The number format of most entries, as safetensors writes it."""
    config_digest: str
    """Of config.json without the fields that do not decide the model (versions, paths)."""
    tokenizer_digest: str | None
    """Of what decides the ids of a text; None for a model without a tokenizer."""
    tied: tuple[tuple[str, str], ...]
    """(output head, embedding) pairs that are one tensor."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in a finding's header under `base`."""
        return {**vars(self), "tied": [list(pair) for pair in self.tied]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ModelIdentity":
        """The inverse of `to_json`; unknown keys are dropped, a missing one raises KeyError."""
        fields = {name: content[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, "tied": tuple(tuple(pair) for pair in fields["tied"])})


def model_identity(
    directory: Path, *, cache: Path | None = None, stop: Event | None = None
) -> ModelIdentity:
    """The identity of a Hugging Face directory; reads every byte once, on side threads.

    `cache` is a JSON file of digests by path, size, inode and modification time: a model that was
    hashed before is then not read again. Raises CorruptFile on a truncated or inconsistent shard,
    Incomplete soon after another thread sets `stop`.
    """
    directory = Path(directory)
    spans = locate_tensors(directory)
    digests = _tensor_digests(spans, cache, stop or Event())
    config = read_config(directory)
    return ModelIdentity(
        root=root_of(digests),
        tensors=digests,
        n=sum(span.n_entries for span in spans.values()),
        dtype=_main_dtype(spans.values()),
        config_digest=config_digest(config),
        tokenizer_digest=tokenizer_digest(directory),
        tied=tied_pairs(spans.keys(), config),
    )


def model_hash(directory: Path, *, cache: Path | None = None) -> str:
    """One hash of weights and config together: the model hash of a provenance."""
    identity = model_identity(directory, cache=cache)
    return sha256_json([identity.root, identity.config_digest])


def tensor_digest(name: str, dtype: str, shape: Iterable[int], pieces: Iterable[bytes]) -> str:
    """SHA-256 over name, dtype, shape and the raw little-endian bytes, given in pieces."""
    digest = hashlib.sha256(tensor_prefix(name, dtype, shape))
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def root_of(digests: Mapping[str, str]) -> str:
    """The root over tensor digests by name."""
    return sha256_bytes("\n".join(f"{name}\0{digests[name]}" for name in sorted(digests)).encode())


def config_digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of a config without the fields that do not decide the model."""
    return sha256_json({key: value for key, value in config.items() if key not in _NOT_THE_MODEL})


def tied_pairs(names: Iterable[str], config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(output head, embedding) pairs that are one tensor.

    A head that is absent from the files beside an embedding that is there is tied, whatever the
    config leaves to its class's default; one that is present is tied if the config says so.
    """
    names = set(names)
    embeddings = sorted(name for name in names if name.endswith(_EMBEDDINGS))
    heads = sorted(name for name in names if name.endswith(_HEADS))
    if not embeddings:
        return ()
    if not heads:
        return (("lm_head.weight", embeddings[0]),)
    return tuple((head, embeddings[0]) for head in heads if config.get("tie_word_embeddings"))


def is_vocabulary(name: str) -> bool:
    """Whether a tensor of this name has a row for every token: an embedding or an output head."""
    return name.endswith(_EMBEDDINGS + _HEADS)


def tensor_prefix(name: str, dtype: str, shape: Iterable[int]) -> bytes:
    """What a tensor's digest starts with, before its bytes."""
    return f"{name}\0{dtype}\0{','.join(map(str, shape))}\0".encode()


def _main_dtype(spans: Iterable[TensorSpan]) -> str:
    entries: dict[str, int] = {}
    for span in spans:
        entries[span.dtype] = entries.get(span.dtype, 0) + span.n_entries
    return max(sorted(entries), key=entries.__getitem__, default="F32")


def _hash_span(span: TensorSpan, stop: Event) -> str:
    digest = hashlib.sha256(tensor_prefix(span.name, span.dtype, span.shape))
    buffer = memoryview(bytearray(min(_PIECE, max(span.n_bytes, 1))))
    with span.file.open("rb", buffering=0) as file:
        file.seek(span.start)
        left = span.n_bytes
        while left:
            read = file.readinto(buffer[: min(left, len(buffer))])
            if not read:
                raise CorruptFile(f"{span.file} ends inside tensor {span.name!r}: it was truncated")
            digest.update(buffer[:read])
            left -= read
            if stop.is_set():
                raise Incomplete(f"hashing {span.file} was stopped")
    return digest.hexdigest()


def _tensor_digests(
    spans: dict[str, TensorSpan], cache: Path | None, stop: Event
) -> dict[str, str]:
    keys = {file: _file_key(file) for file in {span.file for span in spans.values()}}
    known = _read_cache(cache)
    digests = {
        name: known[keys[span.file]][name]
        for name, span in spans.items()
        if name in known.get(keys[span.file], {})
    }
    missing = [span for name, span in spans.items() if name not in digests]
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        hashed = pool.map(lambda span: _hash_span(span, stop), missing)
        digests.update(zip((s.name for s in missing), hashed, strict=True))
    if cache is not None and missing:
        fresh = {
            keys[file]: {s.name: digests[s.name] for s in spans.values() if s.file == file}
            for file in keys
            if _settled(file, keys[file])
        }
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, {**known, **fresh})
    return dict(sorted(digests.items()))


def _file_key(file: Path) -> str:
    status = file.stat()
    return f"{file.resolve()}|{status.st_size}|{status.st_ino}|{status.st_mtime_ns}"


def _settled(file: Path, key: str) -> bool:
    # A file written within the clock's grain of being hashed could change again unnoticed.
    return _file_key(file) == key and time.time_ns() - file.stat().st_mtime_ns > _SETTLED_NS


def _read_cache(cache: Path | None) -> dict[str, dict[str, str]]:
    if cache is None or not cache.is_file():
        return {}
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptFile(f"{cache} is no hash cache ({error}): delete it") from error
    return content if isinstance(content, dict) else {}
