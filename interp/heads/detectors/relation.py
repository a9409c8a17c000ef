"""Semantic induction heads: raising a relation's tail when attending to its head."""

from interp.heads.detector import Detector, Scoring
from interp.heads.relations.choices import choices_of
from interp.heads.relations.events import plan_events
from interp.heads.relations.observer import RelationObserver
from interp.heads.relations.summary import head_scores
from interp.heads.scores import HeadScores


class _Scored(RelationObserver):
    """The observer of one call."""

    def __init__(self, scoring: Scoring) -> None:
        choices = choices_of(scoring.options.get("preset") or "relation")
        plan = plan_events(scoring.relations, choices, seed=scoring.seed)
        super().__init__(plan, scoring.geometry)
        self._scoring, self._choices = scoring, choices

    def finish(self) -> HeadScores:
        scoring = self._scoring
        return head_scores(
            self.tally(),
            provenance=scoring.provenance("relations", choices=self._choices.to_json()),
            draws=scoring.draws,
            bootstrap=scoring.bootstrap,
            seed=scoring.seed,
        )


DETECTOR = Detector(
    name="relation",
    version=1,
    definition="share of the tail in what a head raises among visible tokens, by what it reads "
    "from the head entity, when it attends to that (a column a relation)",
    source="after arXiv 2402.13055, eq. 1 to 3, read at the attended token",
    unit="share",
    needs=frozenset({"attention", "values"}),
    inputs="relations",
    low=0.0,
    high=1.0,
    chance="1 / number of candidates, in `uniform`",
    null="tail drawn among entities of its type, alike in place; p_adj over heads and relations",
    observe=_Scored,
    options=("preset",),
)
