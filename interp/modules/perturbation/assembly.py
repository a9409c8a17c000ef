"""A perturbation result from what every set of neurons cost every item."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from interp.modules.perturbation.result import PerturbationResult
from interp.modules.perturbation.sets import Measured, Run
from interp.modules.perturbation.statistics import (
    bootstrap_means,
    mean_by_function,
    own_minus_other,
    own_minus_other_each,
    relabelled_rows,
    with_ends,
)
from interp.modules.perturbation.targets import Target, carried, count
from interp.results.provenance import Provenance

Ended = Float[np.ndarray, "measures sets evaluated 3"]


def result_of(
    run: Run,
    measured: Measured,
    *,
    own: tuple[str, ...],
    targets: Sequence[Target],
    by: str,
    bootstrap: int,
    statements: tuple[str, ...],
    provenance: Provenance,
) -> PerturbationResult:
    n, n_all = len(own), len(run.evaluated)

    def drawn(values: Float[np.ndarray, "measures sets items"]) -> Float[np.ndarray, "..."]:
        # The same items are drawn for every array: all are of one bootstrap sample.
        return np.stack(
            [
                bootstrap_means(
                    one,
                    run.function,
                    n_all,
                    draws=bootstrap,
                    rng=np.random.default_rng([run.seed, 3]),
                )
                for one in values
            ]
        )

    def ended(values: Float[np.ndarray, "measures sets items"]) -> Ended:
        means = np.stack([mean_by_function(one, run.function, n_all) for one in values])
        return np.stack([with_ends(m, d) for m, d in zip(means, drawn(values), strict=True)])

    drop = ended(measured.own)
    square, sample = drop[:, :, :n, 0], drawn(measured.own)[..., :n]
    rng = np.random.default_rng([run.seed, 4])
    relabelled = [relabelled_rows(one, rng=rng) for one in square]
    sites = tuple(run.estimates)
    return PerturbationResult(
        functions=own,
        evaluated=run.evaluated,
        sites=sites,
        mode=run.mode,
        scale=run.scale,
        chosen_by=by,
        chosen={f: t.experts for f, t in zip(own, targets, strict=True)},
        base=ended(measured.base[:, None])[:, 0],
        drop=drop,
        whole=ended(measured.whole),
        alternatives={name: ended(values) for name, values in measured.alternatives.items()},
        controls=measured.controls,
        control_units=measured.control_units,
        control_mass=measured.control_mass,
        own_minus_other=np.stack(
            [
                with_ends(own_minus_other(s), own_minus_other(d))
                for s, d in zip(square, sample, strict=True)
            ]
        ),
        own_minus_other_functions=np.stack(
            [
                with_ends(own_minus_other_each(s), own_minus_other_each(d))
                for s, d in zip(square, sample, strict=True)
            ]
        ),
        p_relabelled=np.array([found.p for found in relabelled]),
        min_p_relabelled=relabelled[1].min_p,
        n_items=np.bincount(run.function, minlength=n_all),
        n_units=np.array([count(target.units) for target in targets]),
        mass=np.array([carried(target.units, run.mass()) for target in targets]),
        units={
            site: np.stack(
                [np.isin(np.arange(len(run.mass()[site])), t.units[site]) for t in targets]
            )
            for site in sites
        },
        statements=statements,
        provenance=provenance,
    )
