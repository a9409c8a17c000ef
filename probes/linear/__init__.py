"""Linear probes: what a linear map can read off a site, beside what it can learn by heart.

A multinomial logistic regression a site, documents kept on one side of the split, the penalty
chosen on validation documents. Beside its accuracy stand the most frequent label, a control task
(a random label for every word type, Hewitt and Liang, 1909.03368) and, where given, the same
probe on the untrained model.

    from probes.linear import ProbeResult, fit_probes
    store = ActivationStore.open("store")
    result = fit_probes(store, sites=["blocks.*.hook_resid_post"], label="upos")
    result.selectivity, result.direction("blocks.3.hook_resid_post", "VERB")
"""

from probes.linear.fitting import fit_probes
from probes.linear.result import ProbeResult

__all__ = ["ProbeResult", "fit_probes"]
