"""How well a dictionary reconstructs its site in a model whose weights were drawn again."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from interp.capture.forward import SiteReader
from interp.corpus.corpus import Corpus
from interp.dictionaries.evaluation.contestants import Contestant
from interp.dictionaries.evaluation.moments import RowMean
from interp.dictionaries.evaluation.reconstruction import row_statistics
from interp.dictionaries.evaluation.rows import RowBatch
from interp.dictionaries.evaluation.splicing import Sites
from interp.models.load import load
from interp.models.randomised import randomised_model
from interp.results.sequence_sums import SequenceSums

_SEQUENCES = 8


@torch.no_grad()
def randomised_sums(
    directory: Path,
    corpus: Corpus,
    contestant: Contestant,
    sites: Sites,
    *,
    n_tokens: int,
    specials: bool,
    seed: int,
    device: torch.device,
) -> SequenceSums:
    """Row statistics of the dictionary on the first `n_tokens` of `corpus` in such a model.

    The model is written to a temporary directory and read from there, as a user would.
    """
    with TemporaryDirectory() as temporary:
        path = randomised_model(directory, Path(temporary) / "model", seed)
        model = load(path, device=str(device))
        reader = SiteReader(model, list(dict.fromkeys(sites)))

        def batches() -> Iterator[RowBatch]:
            return _rows(reader, corpus, sites, n_tokens, specials, device)

        mean: RowMean | None = None
        for batch in batches():
            mean = mean or RowMean(batch.target.shape[1])
            mean.update(batch.target)
        sums = SequenceSums()
        if mean is None:
            return sums
        centre = mean.finish().to(device)
        for batch in batches():
            coded = contestant.code(batch.source)
            statistics = row_statistics(batch.target, coded.output, coded.codes, centre)
            sums.update(batch.sequence, statistics)
        return sums


def _rows(
    reader: SiteReader,
    corpus: Corpus,
    sites: Sites,
    n_tokens: int,
    specials: bool,
    device: torch.device,
) -> Iterator[RowBatch]:
    read = 0
    for batch in corpus.batches(_SEQUENCES):
        keep = batch.attention_mask if specials else batch.attention_mask & ~batch.special
        values = reader.read(batch.tokens, batch.attention_mask, keep)
        source, target = (
            torch.from_numpy(values[site].reshape(len(values[site]), -1)).to(device)
            for site in sites
        )
        sequence = np.broadcast_to(batch.sequence[:, None], keep.shape)[keep]
        if len(sequence):
            yield RowBatch(source, target, sequence.astype(np.int64))
        read += len(sequence)
        if read >= n_tokens:
            return
