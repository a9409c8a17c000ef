"""Describe a feature by the tokens it fires on, and check the rule on contexts it was not made of.

The rule "it fires on these tokens" is read from the strongest contexts. The even sample of all
firings, less those contexts, then says how many firings the rule foretells (recall), and with the
number of rows of each token how many of the rule's rows fire (precision).
"""

from collections import Counter

from interp.dictionaries.views.describer import Describer, Description
from interp.dictionaries.views.feature_view import Detection, FeatureView
from interp.results.escape import visible
from interp.results.intervals import Interval, wilson

MAX_TOKENS = 5
_MIN_SHARE = 0.1
_MAX_Q = 0.05
_NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def rule_tokens(view: FeatureView) -> dict[int, str]:
    """Up to five tokens, each of at least a tenth of the strongest contexts, most frequent first.

    One context alone makes no rule, unless it is all there is.
    """
    counts = Counter(context.token_id for context in view.strongest)
    least = max(_MIN_SHARE * len(view.strongest), min(2, len(view.strongest)))
    names = {c.token_id: c.tokens[c.marked] for c in view.strongest}
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {i: names[i] for i, count in ranked[:MAX_TOKENS] if count >= least}


def describe(view: FeatureView) -> Description:
    """The rule of the strongest contexts with its held-out recall and precision."""
    tokens, used = rule_tokens(view), {context.row for context in view.strongest}
    held_out = [context for context in view.sampled if context.row not in used]
    hits = sum(context.token_id in tokens for context in held_out)
    recall = wilson(hits, len(held_out)) if tokens else _NOTHING
    label = best_label(view)
    return Description(
        feature=view.feature,
        text=_text(view, tokens, recall, label),
        describer="rule",
        recall=recall,
        precision=_precision(view, tokens, recall),
        base_rate=view.density.value,
        n_held_out=len(held_out),
        evidence=_evidence(view, tokens, label),
    )


def best_label(view: FeatureView) -> Detection | None:
    """The label value detected best, where that stands out of chance and doubles its base rate."""
    for detection in view.detections:
        precision = detection.average_precision.value
        if detection.q_value <= _MAX_Q and precision >= min(2 * detection.base_rate, 0.9):
            return detection
    return None


def _precision(view: FeatureView, tokens: dict[int, str], recall: Interval) -> Interval:
    """P(fires | token) = P(token | fires) · firings / rows of the token, without the used rows."""
    used = sum(context.token_id in tokens for context in view.strongest)
    rows = sum(view.token_rows[token] for token in tokens) - used
    firings = view.n_active - len(view.strongest)
    if not tokens or rows <= 0 or firings <= 0:
        return _NOTHING
    return Interval(*(min(end * firings / rows, 1.0) for end in recall))


def _text(
    view: FeatureView, tokens: dict[int, str], recall: Interval, label: Detection | None
) -> str:
    if view.n_active == 0:
        return "never fires"
    if not tokens:
        said = "fires on many different tokens"
    else:
        listed = ", ".join(repr(visible(name, limit=40)) for name in tokens.values())
        said = f"fires on {listed}"
        if recall.value == recall.value and recall.value < 0.5:
            said = f"fires strongest on {listed}, and on other tokens"
    return said if label is None else f"{said}; rows with {label.column} = {label.value}"


def _evidence(
    view: FeatureView, tokens: dict[int, str], label: Detection | None
) -> tuple[str, ...]:
    counts = Counter(context.token_id for context in view.strongest)
    found = [
        f"{visible(name, limit=40)!r}: {counts[token]} of {len(view.strongest)} strongest "
        f"contexts, {view.token_rows[token]:,} of {view.n_rows:,} rows"
        for token, name in tokens.items()
    ]
    if label is not None:
        found.append(
            f"{label.column} = {label.value}: average precision {label.average_precision}, base "
            f"rate {label.base_rate:.3f}, q {label.q_value:.2g}"
        )
    return tuple(found)


DESCRIBER = Describer(name="rule", describe=describe)
