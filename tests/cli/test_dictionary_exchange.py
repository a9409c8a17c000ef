"""`interp dictionary info`, `import` and `export`: what they print, write and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.dictionaries.evaluation.evaluation import ContestantRow, DictionaryEvaluation
from interp.dictionaries.files import open_dictionary
from interp.dictionaries.weights_hash import weights_sha256
from interp.results.errors import BadInput, Unsupported
from interp.results.provenance import Provenance

DATA = Path(__file__).parents[1] / "dictionaries" / "exchange" / "data"
BATCH = DATA / "dictionary_learning" / "BatchTopKSAE"


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["dictionary", *map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refusal(*arguments: object) -> BaseException | None:
    return CliRunner().invoke(app, ["dictionary", *map(str, arguments)]).exception


def test_a_dictionary_comes_in_and_says_what_it_is(tmp_path: Path) -> None:
    printed = invoke("import", BATCH, "--out", tmp_path / "here")
    assert "jumprelu, 6 -> 12, of blocks.2.hook_resid_post" in printed
    shown = invoke("info", tmp_path / "here")
    assert "jumprelu (trained as batchtopk), 6 -> 12 features -> 6" in shown
    assert "of blocks.2.hook_resid_post of EleutherAI/pythia-70m-deduped" in shown
    assert "threshold: 0.4 to 0.4" in shown
    assert "no evaluation beside it" in shown
    facts = json.loads(invoke("info", tmp_path / "here", "--json"))
    assert (facts["d_in"], facts["d_sae"], facts["architecture"]) == (6, 12, "jumprelu")
    assert facts["provenance"]["settings"]["format"] == "dictionary_learning"
    assert facts["evaluation"] is None


def test_a_site_that_the_source_does_not_name_is_asked_for(tmp_path: Path) -> None:
    source = DATA / "sparsify" / "topk" / "layers.3"
    (tmp_path / "elsewhere").symlink_to(source)
    arguments = ("import", tmp_path / "elsewhere", "--out")
    assert "import it with --site" in invoke(*arguments, tmp_path / "one")
    named = invoke(*arguments, tmp_path / "two", "--site", "blocks.3.hook_resid_post")
    assert "of blocks.3.hook_resid_post" in named


def test_a_set_comes_in_and_goes_out(tmp_path: Path) -> None:
    found = json.loads(
        invoke("import", DATA / "circuit_tracer" / "relu", "--out", tmp_path / "here", "--json")
    )
    assert [Path(place).name for place in found["dictionaries"]] == [
        "blocks.0.mlp.hook_in",
        "blocks.1.mlp.hook_in",
    ]
    invoke("export", tmp_path / "here", "--format", "circuit_tracer", "--out", tmp_path / "there")
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        "config.yaml",
        "interp.json",
        "layer_0.safetensors",
        "layer_1.safetensors",
    ]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    invoke("import", BATCH, "--out", tmp_path / "here")
    error = refusal(
        "export", tmp_path / "here", "--format", "sparsify", "--out", tmp_path / "there"
    )
    assert isinstance(error, Unsupported) and "no 'jumprelu'" in str(error)
    again = refusal("import", BATCH, "--out", tmp_path / "here")
    assert isinstance(again, BadInput) and "exists" in str(again)
    invoke("import", BATCH, "--out", tmp_path / "here", "--overwrite")
    assert isinstance(refusal("info", tmp_path / "nothing"), BadInput)


def test_an_evaluation_beside_the_weights_is_shown_with_n_and_interval(tmp_path: Path) -> None:
    invoke("import", BATCH, "--out", tmp_path / "here")
    small_evaluation().save(tmp_path / "here" / "evaluation")
    shown = invoke("info", tmp_path / "here")
    assert "evaluation over 500 rows" in shown
    assert "explained variance: 0.750 [0.700, 0.800] (n 500 rows)" in shown
    facts = json.loads(invoke("info", tmp_path / "here", "--json"))
    cell = facts["evaluation"]["table"]["dictionary"]["explained_variance"]
    assert cell == {"value": 0.75, "interval": [0.7, 0.8], "n": 500}


@pytest.mark.parametrize(
    ("of", "said"),
    [("these", None), ("others", "is of other weights"), ("unknown", "it does not say")],
)
def test_an_evaluation_of_other_weights_is_told(of: str, said: str | None, tmp_path: Path) -> None:
    invoke("import", BATCH, "--out", tmp_path / "here")
    own = weights_sha256(open_dictionary(tmp_path / "here"))
    measured = {"these": {"weights_sha256": own}, "others": {"weights_sha256": "0" * 64}}
    small_evaluation(measured.get(of)).save(tmp_path / "here" / "evaluation")
    shown = invoke("info", tmp_path / "here")
    told = [text for text in ("is of other weights", "it does not say") if text in shown]
    assert told == ([] if said is None else [said])


def small_evaluation(dictionary: dict[str, str] | None = None) -> DictionaryEvaluation:
    return DictionaryEvaluation(
        dictionary=dictionary or {},
        contestants=(ContestantRow(key="dictionary", title="dictionary", note=""),),
        measures=("explained_variance",),
        value=np.array([[0.75]]),
        low=np.array([[0.7]]),
        high=np.array([[0.8]]),
        n=np.array([[500]]),
        n_rows=500,
        n_sequences=50,
        fired=np.ones(12, np.int64),
        l0_quantiles=np.zeros(7),
        nearest=np.zeros(12, np.float32),
        nearest_null=np.zeros(12, np.float32),
        encoder_decoder=np.zeros(12, np.float32),
        shared=(),
        statements=(),
        provenance=Provenance.collect(
            "a test", model_hash=None, corpus_hash=None, seed=0, settings={}
        ),
    )
