"""The dictionaries of polyglot's base: trained from a store of its own lines, and evaluated.

    python -m probes.polyglot.dictionaries --out DIR

writes a dictionary for the residual stream and the MLP output of every layer, each with its
evaluation on held-out questions beside it, and prints what they measure. The shipped ones were
made by this command; where DIR is there, it is evaluated again.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from interp.capture.run import record
from interp.capture.store import ActivationStore
from interp.corpus.corpus import Corpus
from interp.dictionaries.evaluation import DictionaryEvaluation, evaluate_dictionary
from interp.dictionaries.files import open_dictionary, read_card, save_dictionary
from interp.dictionaries.training.train import train
from interp.models.load import load
from interp.models.reference import BUNDLED
from probes.polyglot.labelled import labelled_lines
from probes.polyglot.languages import LINE_WORDS
from probes.polyglot.mixtures import Mixture

COMMAND = "python -m probes.polyglot.dictionaries"
BASE = BUNDLED / "polyglot" / "base"
LINES = Mixture(languages=(0.2, 0.2, 0.2, 0.2, 0.2), code_mixing=0.3, ability=0.0)
"""All five languages alike, though the base has hardly seen two of them: abilities move there."""
SITES = ("blocks.*.hook_resid_post", "blocks.*.hook_mlp_out")
N_LINES = 60_000
MAX_TOKENS = N_LINES * LINE_WORDS
N_HELD_OUT = 20_000
"""Lines that ask what no line of the training asks."""
TRAIN_SEED, HELD_OUT_SEED = 101, 102
D_SAE = 512
K = 8
N_TOKENS = 2_000_000
BATCH_SIZE = 1024
LR = 1e-3
DEAD_FEATURE_WINDOW = 200
"""Steps: features that have not fired by then are taken up by the auxiliary loss."""


def make(out: Path) -> None:
    """Train a dictionary for every site into `out`, in float16 on disk."""
    with tempfile.TemporaryDirectory() as place:
        trained = train(
            _store(Path(place) / "store", _lines(N_LINES, TRAIN_SEED, held_out=False)),
            Path(place) / "trained",
            site=SITES,
            arch="batchtopk",
            d_sae=D_SAE,
            k=K,
            n_tokens=N_TOKENS,
            batch_size=BATCH_SIZE,
            lr=LR,
            lr_decay_steps=N_TOKENS // BATCH_SIZE // 4,
            dead_feature_window=DEAD_FEATURE_WINDOW,
            normalize="expected_average_only_in",
            command=COMMAND,
        )
        for path in trained:
            site = read_card(path).site or path.name
            save_dictionary(open_dictionary(path), out / site, stored_as="float16")


def evaluate(out: Path) -> Iterator[tuple[str, DictionaryEvaluation]]:
    """Every dictionary in `out`, its evaluation on held-out questions saved beside it."""
    model = load(BASE)
    corpus = _lines(N_HELD_OUT, HELD_OUT_SEED, held_out=True)
    with tempfile.TemporaryDirectory() as place:
        store = _store(Path(place) / "store", corpus)
        for path in sorted(out.iterdir()):
            evaluation = evaluate_dictionary(
                open_dictionary(path),
                store,
                model=model,
                corpus=corpus,
                predicted="last",
                command=COMMAND,
            )
            evaluation.save(path / "evaluation", overwrite=True)
            yield path.name, evaluation


def _lines(n: int, seed: int, *, held_out: bool) -> Corpus:
    return labelled_lines(LINES, n=n, seed=seed, model=BASE, held_out=held_out)


def _store(path: Path, lines: Corpus) -> ActivationStore:
    return record(load(BASE), lines, SITES, path, max_tokens=MAX_TOKENS, batch_size=256)


def main() -> None:
    """Make them, unless they are there, and print their evaluations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    if not out.exists():
        make(out)
    for name, evaluation in evaluate(out):
        sys.stdout.write(f"{name}\n{evaluation}\n")


if __name__ == "__main__":
    main()
