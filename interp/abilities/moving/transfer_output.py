"""The directory that a transfer leaves: the model, where it comes from, and how to undo it."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from interp.abilities.moving.addition import Addition, write_merged
from interp.abilities.moving.lineage import FILE as LINEAGE
from interp.abilities.moving.lineage import Lineage, known_ancestors
from interp.abilities.moving.model_files import ModelFiles
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.writer import StagedDirectory
from interp.abilities.undoing.undo_record import UndoRecord, UndoTensor, read_json_beside
from interp.abilities.undoing.undo_writer import FILE as UNDO
from interp.abilities.undoing.undo_writer import UndoMode, UndoPlan, UndoWriter, undo_plan
from interp.models.identity import ModelIdentity, root_of, tensor_prefix
from interp.results.hashing import sha256_json
from interp.results.provenance import Provenance


class OutputModel(NamedTuple):
    """What was written."""

    root: str
    """Root hash of the weights."""
    changed: int
    """Entries that differ from the base."""
    undo: UndoRecord
    undo_bytes: int


@dataclass(frozen=True, kw_only=True)
class TransferOutput:
    """Where a transfer goes, and how it is written."""

    out: Path
    base: ModelIdentity
    base_name: str
    """Where the base was, as it was given."""
    made_by: dict[str, Any]
    """The recipe that the model is known by; JSON values only."""
    undo: UndoMode
    replace: bool
    chunk: int
    threads: int
    sync_every: int

    def write(self, addition: Addition, files: ModelFiles) -> OutputModel:
        """Write the whole directory, and give it its name when everything is in it."""
        plan = undo_plan(addition, self.undo, n=self.base.n)
        addition = replace(addition, keeps_originals=plan is not None)
        staged = StagedDirectory(
            self.out,
            job=sha256_json({**self.made_by, "chunk": self.chunk, "undo": self.undo}),
            sizes=files.sizes if plan is None else {**files.sizes, UNDO: plan.size},
            replace=self.replace,
            sync_every=self.sync_every,
        )
        with staged:
            files.write_heads(staged)
            root, changed, kept = self._write_tensors(staged, addition, plan)
            files.write_companions(staged.path)
            self._lineage(root, addition.base).save(staged.path)
            record = self._undo_record(root, changed, kept, addition.base)
            record.save(staged.path)
            undo_bytes = sum(file.stat().st_size for file in (staged.path / "undo").iterdir())
            staged.publish()
        return OutputModel(root=root, changed=changed, undo=record, undo_bytes=undo_bytes)

    def _write_tensors(
        self, staged: StagedDirectory, addition: Addition, plan: UndoPlan | None
    ) -> tuple[str, int, dict[str, UndoTensor] | None]:
        """Root hash of what was written, how many entries changed, and what undoes them."""
        changed = 0
        undo = None if plan is None else UndoWriter(staged, plan)
        digests = {
            name: hashlib.sha256(tensor_prefix(name, addition.out_dtype(name), span.shape))
            for name, span in addition.base.spans.items()
        }
        for written in write_merged(staged, addition, chunk=self.chunk, threads=self.threads):
            digests[written.piece.name].update(written.content)
            changed += written.changed
            if undo is not None:
                undo.append(written)
        root = root_of({name: digest.hexdigest() for name, digest in digests.items()})
        return root, changed, None if undo is None else undo.finish()

    def _lineage(self, root: str, model: Checkpoint) -> Lineage:
        ancestors = (self.base.root, *known_ancestors(model.directory, self.base.root))
        return Lineage(
            root=root, ancestors=ancestors, recipe=self.made_by, provenance=self._provenance()
        )

    def _undo_record(
        self, root: str, changed: int, kept: dict[str, UndoTensor] | None, model: Checkpoint
    ) -> UndoRecord:
        return UndoRecord(
            kind="base" if kept is None else "full",
            base=self.base.root,
            base_name=self.base_name,
            result=root,
            n=self.base.n,
            changed=changed,
            lineage=read_json_beside(model.directory, LINEAGE),
            tensors=kept or {},
            provenance=self._provenance(),
        )

    def _provenance(self) -> Provenance:
        return Provenance.collect(
            "interp ability transfer",
            model_hash=sha256_json([self.base.root, self.base.config_digest]),
            corpus_hash=None,
            seed=self.made_by["seed"],
            settings=self.made_by,
        )
