"""What average precision is by chance: its exact expectation, with ties and without."""

from scipy.special import digamma


def harmonic_number(n: int) -> float:
    """H_n = Σ_{i=1..n} 1/i."""
    return float(digamma(n + 1) - digamma(1))


def expected_average_precision(n: int, n_positive: int, harmonic: float | None = None) -> float:
    """Mean average precision over all placings of `n_positive` labels on `n` rows.

    E0 = π' + (1 - π') h/n with π' = (P - 1)/(n - 1), exact: a row with the label, at depth r, finds
    (r - 1) π' others above it. `harmonic` h is the unit's Σ 1/r (`AveragePrecision.harmonic`);
    without it no two scores are equal and h is the n-th harmonic number. All scores equal: P/n.
    """
    if n == 1:
        return 1.0
    share = (n_positive - 1) / (n - 1)
    return share + (1 - share) * (harmonic_number(n) if harmonic is None else harmonic) / n
