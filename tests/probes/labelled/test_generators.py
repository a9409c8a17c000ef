"""Each generator against what only it promises: senses, swapped objects, sound grammar."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from interp.results.errors import BadInput
from probes.labelled import generators
from probes.labelled.generators.knowledge import knowledge_lines
from probes.labelled.leak import leaks
from probes.labelled.line import LabelledLine
from probes.labelled.swapping import swappable
from probes.labelled.words.facts import RELATIONS
from probes.labelled.words.homographs import HOMOGRAPHS

LRE = Path(__file__).parents[4] / "shared" / "data" / "lre_relations"
needs_lre = pytest.mark.skipif(not LRE.is_dir(), reason=f"{LRE} is not there: LRE's relations")


def of(name: str, n: int = 120) -> list[LabelledLine]:
    return [line for line in generators()[name].make(0, n, None) if isinstance(line, LabelledLine)]


def test_the_senses_of_a_homograph_share_templates_and_no_cue() -> None:
    for homograph in HOMOGRAPHS:
        first, second = map(set, homograph.cues)
        assert not first & second
        assert min(len(first), len(second)) >= 14
    shapes: dict[tuple[str, int], Counter[str]] = {}
    for line in of("semantic"):
        shape = line.text
        for cue in line.item.split("+"):
            shape = re.sub(rf"\b{cue}\b", "_", shape)
        shapes.setdefault((line.subfunction, line.label), Counter())[shape] += 1
    for homograph in HOMOGRAPHS:
        assert shapes[homograph.word, 0] == shapes[homograph.word, 1]


def test_both_cues_stand_before_the_homograph() -> None:
    for line in of("semantic"):
        before = line.text[: line.span[0]].split()
        words = {word.strip(",.;") for word in before}
        assert set(line.item.split("+")) <= words
        assert line.text[slice(*line.span)] == line.subfunction


def test_every_object_is_as_often_swapped_as_true_under_every_prompt() -> None:
    facts = {relation.name: set(relation.facts) for relation in RELATIONS}
    counts: dict[tuple[str, str, str, int], Counter[str]] = {}
    for line in of("knowledge"):
        said = line.text[slice(*line.span)]
        assert ((line.item, said) in facts[line.subfunction]) == bool(line.label)
        key = (line.subfunction, line.pattern, line.split, line.label)
        counts.setdefault(key, Counter())[said] += 1
    for (name, prompt, split, label), objects in counts.items():
        assert objects == counts[name, prompt, split, 1 - label]


def test_swapping_leaves_out_facts_of_an_object_that_most_subjects_have() -> None:
    facts = [(f"s{i}", "a" if i < 8 else f"o{i}") for i in range(10)]
    kept, objects = swappable(facts, set(facts), rng=np.random.default_rng(0))
    assert Counter(word for _, word in kept)["a"] == 2
    assert sorted(objects) == list(range(len(kept)))
    assert all((kept[i][0], kept[j][1]) not in facts for i, j in enumerate(objects))
    alone, _ = swappable([("s", "o")], {("s", "o")}, rng=np.random.default_rng(0))
    assert alone == []


def test_no_swapped_fact_is_true_of_a_subject_with_two_objects() -> None:
    facts = [("x", "a"), ("x", "b"), ("y", "c"), ("z", "d")]
    for seed in range(20):
        kept, objects = swappable(facts, set(facts), rng=np.random.default_rng(seed))
        assert len(kept) == 4
        assert all((kept[i][0], kept[j][1]) not in facts for i, j in enumerate(objects))


def test_paired_sentences_hold_the_same_words_where_order_decides() -> None:
    lines = of("task")
    for right, wrong in zip(lines[::2], lines[1::2], strict=True):
        assert (right.label, wrong.label) == (1, 0)
        assert right.item == wrong.item
        bags = [Counter(re.findall(r"\w+", line.text.lower())) for line in (right, wrong)]
        if right.pattern in ("word order", "roles", "quantifiers", "contrast"):
            assert bags[0] == bags[1]


def test_agreement_is_with_the_head_noun() -> None:
    seen = set()
    for line in of("task", 400):
        if line.pattern != "agreement":
            continue
        words = line.text.rstrip(".").split()
        head, verb = words[1], words[-2]
        assert line.label == (head.endswith("s") != verb.endswith("s"))
        seen.add((head.endswith("s"), words[-3].endswith("s"), line.label))
    assert len(seen) == 8


def test_a_relation_is_read_from_json_and_its_faults_are_named(tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    samples = ", ".join(f'{{"subject": "s{i}", "object": "o{i % 5}"}}' for i in range(30))
    good.write_text(f'{{"name": "r", "prompt_templates": ["{{}} has"], "samples": [{samples}]}}')
    lines = knowledge_lines(0, 20, good)
    assert {line.subfunction for line in lines} == {"r"}
    assert Counter(line.label for line in lines) == {0: 20, 1: 20}
    assert knowledge_lines(0, 20, tmp_path) == lines
    for text, message in (
        ("{", "is not JSON"),
        ("[]", "one relation was expected"),
        ('{"name": "r"}', "is no relation"),
        ('{"name": "r", "prompt_templates": ["no place"], "samples": []}', "is no relation"),
        ('{"name": "r", "prompt_templates": ["{}"], "samples": [{"subject": 1}]}', "no relation"),
    ):
        good.write_text(text)
        with pytest.raises(BadInput, match=message):
            knowledge_lines(0, 20, good)
    with pytest.raises(BadInput, match="no .json file"):
        knowledge_lines(0, 20, tmp_path / "nothing")


@needs_lre
def test_the_published_relations_are_read() -> None:
    lines = knowledge_lines(0, 60, LRE)
    counts = Counter((line.subfunction, line.split, line.label) for line in lines)
    assert len({name for name, _, _ in counts}) == 32
    for (name, split, label), n in counts.items():
        assert counts[name, split, 1 - label] == n


def test_a_word_that_tells_the_label_is_a_leak() -> None:
    lines = [
        LabelledLine(
            text=f"{'good' if label else 'bad'} item{i}",
            label=1 if label else 0,
            function="f",
            subfunction="s",
            split="test" if i % 3 == 0 else "train",
            item=f"item{i}",
            pattern="",
            span=(0, 3),
        )
        for i in range(60)
        for label in [i % 2]
    ]
    (leak,) = leaks(lines)
    assert leak.accuracy.value == leak.seen_words_accuracy.value == 1.0
    assert leak.average_precision.value == 1.0
    assert leak.best_word in ("good", "bad")
    assert leak.best_word_accuracy == 1.0
    assert (leak.n_train, leak.n_test, leak.majority) == (40, 20, 0.5)


TREEBANK = """# text = They saw it.
1\tThey\tthey\tPRON\t_\t_\t2\tnsubj\t_\t_
2\tsaw\tsee\tVERB\t_\t_\t0\troot\t_\t_
3\tit\tit\tPRON\t_\t_\t2\tobj\t_\tSpaceAfter=No
4\t.\t.\tPUNCT\t_\t_\t2\tpunct\t_\t_

# text = Am Montag.
1-2\tAm\t_\t_\t_\t_\t_\t_\t_\t_
1\tan\tan\tADP\t_\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\t_\t_\t3\tdet\t_\t_
3\tMontag\tMontag\tNOUN\t_\t_\t0\troot\t_\tSpaceAfter=No
4\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_

"""


def test_the_tags_of_a_treebank_stand_at_its_words(tmp_path: Path) -> None:
    file = tmp_path / "tiny.conllu"
    file.write_text(TREEBANK + TREEBANK)
    lines = generators()["pos"].make(0, 9, file)
    assert {line.split for line in lines} == {"train", "test"}
    said = {}
    for line in lines:
        assert not isinstance(line, LabelledLine)
        said[line.text] = [(line.text[a:b], tag) for a, b, tag in line.classes]
    assert said == {
        "They saw it.": [("They", "PRON"), ("saw", "VERB"), ("it", "PRON"), (".", "PUNCT")],
        "Am Montag.": [("Montag", "NOUN"), (".", "PUNCT")],
    }
    with pytest.raises(BadInput, match="reads a CoNLL-U file, and --from is not given"):
        generators()["pos"].make(0, 9, None)
