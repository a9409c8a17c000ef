"""English words by category, and the tasks of arXiv 2402.13055 (section 4.1) made from them.

The paper does not give its lists. These are common words; which of them are one token depends on
the tokenizer and is checked when prompts are made.
"""

from typing import Any

CATEGORIES: dict[str, str] = {
    "fruit": "apple banana orange grape lemon lime peach pear plum cherry mango melon berry fig "
    "kiwi olive date coconut papaya apricot strawberry blueberry raspberry pineapple",
    "month": "January February March April May June July August September October November "
    "December",
    "animal": "dog cat horse cow pig sheep goat lion tiger bear wolf fox rabbit mouse rat snake "
    "bird fish duck chicken monkey elephant frog spider",
    "furniture": "table chair desk bed sofa couch shelf lamp cabinet bench stool dresser mirror "
    "drawer cupboard wardrobe rug mattress bookcase closet",
    "profession": "doctor teacher lawyer engineer nurse farmer driver writer artist actor singer "
    "pilot soldier chef judge baker painter dentist scientist manager",
}

PAIRS: dict[str, str] = {
    "subject_verb": "dog-barks cat-sleeps bird-sings fish-swims horse-runs baby-cries sun-shines "
    "wind-blows fire-burns river-flows teacher-teaches writer-writes singer-sings driver-drives "
    "farmer-works student-learns",
    "verb_object": "read-book drink-water eat-bread drive-car play-game write-letter open-door "
    "wear-shirt sing-song cook-meal ride-horse build-house catch-ball kick-ball watch-movie "
    "pay-bill",
    "modifier_object": "red-apple green-grass blue-sky cold-ice hot-fire sweet-honey fast-car "
    "tall-tree soft-bed sharp-knife deep-sea dark-night old-man young-girl long-road heavy-stone",
    "part_whole": "leaf-tree wheel-car page-book finger-hand key-piano wing-bird roof-house "
    "engine-car petal-flower door-room window-house sail-ship string-guitar screen-phone "
    "branch-tree toe-foot",
}

_UNRELATED = {
    "subject_verb": ("animal", "month"),
    "verb_object": ("fruit", "profession"),
    "modifier_object": ("month", "furniture"),
    "part_whole": ("profession", "fruit"),
}


def english() -> dict[str, Any]:
    """The nine tasks as the content of a tasks file, in the paper's line form."""
    return {
        "line": "{first}, {second}: {label}",
        "separator": "\n",
        "start": "",
        "categories": {name: words.split() for name, words in CATEGORIES.items()},
        "pairs": {name: [p.split("-") for p in pairs.split()] for name, pairs in PAIRS.items()},
        "tasks": [
            _order("binary_fruit_month", "fruit", "month"),
            _order("binary_furniture_profession", "furniture", "profession"),
            _grid("four_fruit_month", "four", ("fruit", "month")),
            _grid("nine_fruit_animal_month", "nine", ("fruit", "animal", "month")),
            *(_justified(name, apart) for name, apart in _UNRELATED.items()),
        ],
    }


def _order(name: str, one: str, other: str) -> dict[str, Any]:
    return {"name": name, "kind": "binary", "rules": [[one, other, "0"], [other, one, "1"]]}


def _grid(name: str, kind: str, categories: tuple[str, ...]) -> dict[str, Any]:
    n = len(categories)
    rules = [
        [first, second, str(n * i + j)]
        for i, first in enumerate(categories)
        for j, second in enumerate(categories)
    ]
    return {"name": name, "kind": kind, "rules": rules}


def _justified(pairs: str, apart: tuple[str, str]) -> dict[str, Any]:
    rules = [[pairs, "true"], [*apart, "false"]]
    return {"name": f"justification_{pairs}", "kind": "justification", "rules": rules}
