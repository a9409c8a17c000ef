"""The words of the grammar world, by what they are; some are two tokens."""

from probes.relations.binding import NAMES as SHORT_NAMES
from probes.relations.vocabulary import Vocabulary

_ANIMALS = ("dog", "cat", "fox", "pig", "cow", "hen", "owl", "bee", "ant", "rat", "bat", "elk")
_PERSONS = (
    *("baker", "nurse", "judge", "pilot", "miner", "tailor"),
    *("farmer", "poet", "clerk", "cook", "guard", "monk"),
)
_FRUITS = (
    *("apple", "pear", "plum", "fig", "lime", "grape"),
    *("melon", "peach", "mango", "kiwi", "lemon", "berry"),
)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_FURNITURE = (
    *("chair", "table", "shelf", "bed", "sofa", "desk"),
    *("stool", "bench", "couch", "lamp", "chest", "crib"),
)
CATEGORIES = {
    "animal": _ANIMALS,
    "person": _PERSONS,
    "fruit": _FRUITS,
    "month": _MONTHS,
    "furniture": _FURNITURE,
}
"""Category -> its words, of one token each: what the label tasks are about."""

_SPLIT_VERBS = {"follows": ("fol", "lows")}
_SPLIT_NAMES = {
    "rimdol": ("rim", "dol"),
    "sobfax": ("sob", "fax"),
    "tigvun": ("tig", "vun"),
    "wobnel": ("wob", "nel"),
}
_VERBS = ("sees", "likes", "helps", "finds", "hears", "meets", "calls", "knows", "leads")

VERBS = (*_VERBS, *_SPLIT_VERBS)
NAMES = (*SHORT_NAMES[:24], *_SPLIT_NAMES)
"""Invented. Sentences and facts are about them, and they qualify one another: were modifiers words
of their own, attending to any of these would be as good a guess as a model learns to make."""

SUBJECT, OBJECT = "the", "a"
"""The determiner says which noun is the subject: the order does not."""
DEPENDENCIES = {"subj": "Who", "obj": "Whom", "mod": "Which"}
"""Relation between words -> what asks for it: `Who sees` the subject, `Which bam` its modifier."""
PREDICATES = {
    "used-for": ("serves", "needs", "Serves"),
    "conjunction": ("joins", "pairs", "Joins"),
    "feature-of": ("marks", "bears", "Marks"),
    "part-of": ("within", "contains", "Within"),
    "compare": ("rivals", "equals", "Rivals"),
    "evaluate-for": ("rates", "trusts", "Rates"),
    "hyponym-of": ("isa", "covers", "Isa"),
}
"""Relation between names -> how it is said head first, tail first, and how it is asked."""
RELATIONS = (*DEPENDENCIES, *PREDICATES)
DIGITS = tuple("0123456789")
VERDICTS = ("true", "false")
IS = "is"

VOCABULARY = Vocabulary(
    whole=(
        *(SUBJECT, OBJECT, ",", ":"),
        *DEPENDENCIES.values(),
        *(word for words in PREDICATES.values() for word in words),
        *(*DIGITS, *VERDICTS, IS, *CATEGORIES),
        *(word for words in CATEGORIES.values() for word in words),
        *(*_VERBS, *SHORT_NAMES[:24]),
    ),
    split=_SPLIT_VERBS | _SPLIT_NAMES,
)
