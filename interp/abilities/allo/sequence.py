"""The stages of an alignment in a row: warm-up and masks first, then each stage on the last."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from accelerate import Accelerator

from interp.abilities.allo.alignment import StageReport
from interp.abilities.allo.change_mask import change_mask
from interp.abilities.allo.pairs import EncodedPairs
from interp.abilities.allo.stages import AlloRecipe, StageRecipe
from interp.abilities.allo.train import run_stage
from interp.abilities.allo.unfinished import Unfinished
from interp.abilities.masks.mask import NeuronMask
from interp.models.identity import ModelIdentity
from interp.models.trainable import TrainableModel
from interp.results.progress import progress


@dataclass(frozen=True, kw_only=True)
class StageRunner:
    """A model, the pairs it is aligned to, and where its stages are put down."""

    trained: TrainableModel
    pairs: EncodedPairs
    base: ModelIdentity
    processes: Accelerator
    unfinished: Unfinished

    def run(
        self, recipe: AlloRecipe, mask: NeuronMask | None
    ) -> tuple[dict[str, NeuronMask], list[StageReport]]:
        """Train the model in place; the masks by stage, and a report of every stage.

        The first stage after the warm-up starts from the base: the warm-up leaves its masks only.
        """
        masks = {} if mask is None else {stage.stage: mask for stage in recipe.stages}
        reports = []
        for stage in recipe.stages:
            if stage.stage == "warmup":
                report, masks = self._locate(stage, recipe)
            else:
                report = self._stage(stage, masks.get(stage.stage))
            reports.append(report)
        return masks, reports

    def _locate(
        self, warmup: StageRecipe, recipe: AlloRecipe
    ) -> tuple[StageReport, dict[str, NeuronMask]]:
        """Warm up, rank what moved, and put the model back."""
        parameters = self.trained.parameters
        start = {name: p.detach().clone() for name, p in parameters.items()}
        report = self._stage(warmup, None)
        ranked = {
            name: before
            for name, before in start.items()
            if not (warmup.freeze_embeddings and name in self.trained.embeddings)
        }
        settings = {"warmup": asdict(warmup), "pairs": self.pairs.hash}
        masks = {
            stage.stage: change_mask(
                ranked,
                self.trained,
                share=stage.share,
                locator=recipe.locator,
                base=self.base,
                settings=settings,
            )
            for stage in recipe.stages[1:]
            if stage.share < 1
        }
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(start[name])
        return report, masks

    def _stage(self, stage: StageRecipe, mask: NeuronMask | None) -> StageReport:
        frozen = self.trained.embeddings if stage.freeze_embeddings else frozenset()
        steps = stage.steps_for(len(self.pairs))
        free = {n: p.numel() for n, p in self.trained.parameters.items() if n not in frozen}
        if mask is not None:
            free = {n: c for n, c in mask.counts_by_tensor().items() if n in free}
        with self._progress(stage.stage, steps) as advance:
            losses = run_stage(
                self.trained,
                self.pairs,
                stage,
                mask=mask,
                processes=self.processes,
                state=self.unfinished.state(stage.stage),
                on_progress=advance,
            )
        return StageReport(
            stage=stage.stage,
            losses=losses,
            pairs_seen=steps * stage.batch_size,
            entries=sum(free.values()),
        )

    @contextmanager
    def _progress(self, stage: str, steps: int) -> Iterator[Callable[..., None] | None]:
        """A bar on one of the processes."""
        if not self.processes.is_main_process:
            yield None
            return
        with progress(stage, total=steps, unit="steps") as advance:
            yield advance
