"""The directory of a run in progress, beside its `--out`: begun, gone on with, or refused."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interp.capture.directory import LOCK, locked
from interp.dictionaries.files import write_dictionary
from interp.dictionaries.training.log import LOG
from interp.dictionaries.training.recipe import RECIPE, TrainingRecipe, differences
from interp.results.atomic import atomic_directory, check_out, write_json
from interp.results.errors import BadInput, CorruptFile, InterpError, Mismatch

RUN = "run.json"
SCHEMA = "interp.dictionary-run/1"
SEVERAL = "interp.dictionaries/1"


class Workspace:
    """`OUT.training`: the recipes, the logs and the checkpoints of a run that is not finished.

    `OUT` appears whole when the run ends, and this directory goes.
    """

    def __init__(self, out: Path, recipes: Sequence[TrainingRecipe]) -> None:
        if not out.name:
            raise BadInput(f"{out} has no name of its own: choose another --out")
        self.out = out
        self.path = out.with_name(f"{out.name}.training")
        self.recipes = list(recipes)

    @property
    def results(self) -> list[Path]:
        """Where the dictionaries will be: `OUT` itself for one, inside of it for several."""
        if len(self.recipes) == 1:
            return [self.out]
        return [self.out / recipe.name for recipe in self.recipes]

    def is_finished(self) -> bool:
        """Whether `OUT` holds these very dictionaries; Mismatch if it holds others of ours."""
        there = [path for path in (self.out, *self.out.glob("*/")) if (path / RECIPE).is_file()]
        if not there:
            return False
        held = {recipe.name: recipe for recipe in map(TrainingRecipe.load, there)}
        _refuse_others(held, self.recipes, self.out)
        return True

    @contextmanager
    def held(self, *, overwrite: bool) -> Iterator[None]:
        """Hold the directory against a second process, empty or with this run's own files.

        It goes if the run ends in an error of input before its first checkpoint.
        """
        check_out(self.out, replace=overwrite or self._out_is_empty())
        with locked(self.path):
            if overwrite:
                self._clear()
            self._begin()
            try:
                yield
            except InterpError:
                if not self._has_checkpoint():
                    self.discard()
                raise

    def log(self, recipe: TrainingRecipe) -> Path:
        """The log of one dictionary."""
        return self.path / f"{recipe.name}.{LOG}"

    def cut_logs(self, lengths: dict[str, int]) -> None:
        """Take back what was logged after a checkpoint; CorruptFile where a log is shorter."""
        for recipe in self.recipes:
            file, length = self.log(recipe), lengths.get(recipe.name, 0)
            file.touch()
            if file.stat().st_size < length:
                raise CorruptFile(f"{file} was cut: begin anew with --overwrite")
            with file.open("r+b") as opened:
                opened.truncate(length)

    def publish(self, dictionaries: Sequence[Any], *, overwrite: bool) -> list[Path]:
        """Put the finished dictionaries in place, whole or not at all; this directory goes."""
        replace = overwrite or self._out_is_empty()
        with atomic_directory(self.out, replace=replace) as directory:
            for recipe, result, sae in zip(self.recipes, self.results, dictionaries, strict=True):
                target = directory / result.relative_to(self.out)
                target.mkdir(exist_ok=True)
                write_dictionary(sae, target)
                recipe.save(target)
                shutil.copyfile(self.log(recipe), target / LOG)
            if len(self.recipes) > 1:
                names = [recipe.name for recipe in self.recipes]
                write_json(directory / "interp.json", {"schema": SEVERAL, "dictionaries": names})
        self.discard()
        return self.results

    def discard(self) -> None:
        """Delete the directory; what is not ours is never in it."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def _begin(self) -> None:
        file = self.path / RUN
        foreign = sorted(f.name for f in self.path.iterdir() if f.name != LOCK)
        if foreign and not file.is_file():
            raise BadInput(f"{self.path} holds {foreign[0]!r}: choose another --out")
        if self._has_checkpoint():
            held = {recipe.name: recipe for recipe in _read_run(file)}
            _refuse_others(held, self.recipes, self.path)
        else:
            # Nothing is lost, so a run that never came to a checkpoint may become another.
            recipes = [recipe.to_json() for recipe in self.recipes]
            write_json(file, {"schema": SCHEMA, "recipes": recipes})
        for left in self.path.glob(".*.tmp-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _clear(self) -> None:
        if not (self.path / RUN).is_file():
            return
        for path in self.path.iterdir():
            if path.name not in (LOCK, RUN):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        # Last: as long as it is there, what is left is known for ours.
        (self.path / RUN).unlink()

    def _has_checkpoint(self) -> bool:
        return any(self.path.glob("checkpoint-*"))

    def _out_is_empty(self) -> bool:
        return self.out.is_dir() and not any(self.out.iterdir())


def _read_run(file: Path) -> list[TrainingRecipe]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise CorruptFile(f"{file} is {content['schema']!r}, expected {SCHEMA!r}: upgrade")
        return [TrainingRecipe.from_json(recipe) for recipe in content["recipes"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFile(f"{file} is garbled ({error}): begin anew with --overwrite") from error


def _refuse_others(
    held: dict[str, TrainingRecipe], asked: Sequence[TrainingRecipe], place: Path
) -> None:
    """Mismatch naming in what a run differs from the one whose files are there."""
    by_name = {recipe.name: recipe for recipe in asked}
    found = [
        difference
        for name in held.keys() & by_name.keys()
        for difference in differences(held[name], by_name[name])
    ]
    if held.keys() != by_name.keys():
        found = [f"it trained {', '.join(held)}, this is {', '.join(by_name)}", *found]
    if found:
        shown = "; ".join(sorted(set(found))[:6])
        raise Mismatch(
            f"{place} is of another recipe: {shown}. Give the same arguments to go on, another "
            "--out, or --overwrite to begin anew"
        )
