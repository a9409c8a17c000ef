"""The explorer's pages under AppTest: right numbers, hostile input, broken findings."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from interp.results.study import Study
from tests.apps.sample import LOUD_ROW, LOUD_UNIT, provenance, sample_store, sample_study
from tests.plots.hostile import HOSTILE
from tests.plots.test_circuitsvis import Elements

APPS = Path(__file__).parents[2] / "apps"
PAGES = ("overview.py", "capture.py", "ability.py")
RESID = "blocks.0.hook_resid_post"


@pytest.fixture
def study(tmp_path) -> Study:
    return sample_study(tmp_path / "study")


@pytest.fixture
def open_page(monkeypatch):
    """Open a page of the explorer on a study's directory, with the address's parameters."""
    monkeypatch.syspath_prepend(str(APPS))

    def open_it(file: str, path: Path | None, **params: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["explorer.py", *([str(path)] if path else [])])
        app = AppTest.from_file(str(APPS / "explorer.py"), default_timeout=60)
        app.switch_page(file)
        for name, value in params.items():
            app.query_params[name] = value
        return app.run()

    return open_it


def html_of(app: AppTest) -> str:
    """All HTML that the page put out, as one text."""
    return "\n".join(element.proto.body for element in app.get("html"))


def test_the_overview_names_the_study_its_findings_and_their_numbers(study, open_page):
    app = open_page("overview.py", study.path)
    shown = html_of(app)
    assert not app.exception
    assert "A small study" in shown
    assert "288 rows at 2 sites" in shown
    assert "4 models on 120 items" in shown
    assert "interp demo" in shown


def test_the_capture_page_finds_the_planted_row(study, open_page):
    app = open_page("capture.py", study.path, site=RESID, unit=str(LOUD_UNIT))
    assert not app.exception
    contexts = next(e.proto.body for e in app.get("html") if "sd from mean" in e.proto.body)
    first = contexts[contexts.index("<tbody>") :].partition("</tr>")[0]
    assert ">25<" in first
    assert f">{LOUD_ROW}<" in first


def test_the_table_beside_the_tokens_holds_the_activations_of_the_document(study, open_page):
    from interp.capture.store import ActivationStore

    app = open_page("capture.py", study.path, unit="5", document="2")
    table = app.dataframe[0].value
    with ActivationStore.open(study.path / "stores" / "activations") as store:
        rows = store.document_rows(2)
        expected = store.rows_at(RESID, rows)[:, 5]
    assert table["row"].tolist() == rows.tolist()
    assert abs(table["activation"].to_numpy() - expected).max() < 0.001


def test_a_view_is_in_the_address_and_back(study, open_page):
    app = open_page("capture.py", study.path, unit="5", document="3", scale="sd from its mean")
    assert app.number_input(key="unit").value == 5
    assert app.number_input(key="document").value == 3
    assert app.selectbox(key="scale").value == "sd from its mean"


def test_a_smaller_site_does_not_keep_a_unit_it_lacks(study, open_page):
    app = open_page("capture.py", study.path, unit="15")
    app.selectbox(key="site").select("blocks.1.attn.hook_z").run()
    assert not app.exception
    assert app.number_input(key="unit").value <= 7


def test_the_ability_page_shows_table_statements_and_the_planted_neuron(study, open_page):
    app = open_page("ability.py", study.path)
    shown = html_of(app)
    assert not app.exception
    assert "Not supported" in shown
    assert "0.500 [" in shown
    assert "1 of 128 neurons hold more chosen weights than chance gives" in shown
    assert len(app.get("plotly_chart")) == 3


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE[1],
        HOSTILE[6],
        "..%2f..%2fetc",
        "9" * 400,
        "nan",
        "1e999",
        "1e3000",
        "-1",
        "",
        "\x00",
    ],
)
@pytest.mark.parametrize("page", PAGES)
def test_hostile_addresses_fall_back_to_a_view_that_exists(study, open_page, page, text):
    names = ("store", "site", "unit", "scale", "document", "count", "side", "mask", "comparison")
    app = open_page(page, study.path, **dict.fromkeys(names, text))
    assert not app.exception
    if page == "capture.py":
        assert app.selectbox(key="site").value == RESID
        assert app.number_input(key="unit").value == 0
        app.number_input(key="unit").set_value(3).run()
        assert not app.exception
        assert app.number_input(key="unit").value == 3


def test_hostile_texts_reach_no_page_as_markup_or_markdown(tmp_path, open_page):
    path = sample_study(tmp_path / "study", words=HOSTILE, titles=HOSTILE[:8]).path
    for page in PAGES:
        app = open_page(page, path)
        assert not app.exception
        elements = Elements(html_of(app))
        assert not elements.names & {"script", "img", "svg", "iframe", "a", "object"}
        assert not [n for _, attrs in elements.found for n in attrs if n.startswith("on")]
        said = [e.value for e in (*app.markdown, *app.caption, *app.title, *app.header)]
        assert not [text for text in said if any(bad in text for bad in HOSTILE[:12])]


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_study_says_so(tmp_path, open_page, page):
    study = Study.create(tmp_path / "empty", title="Nothing yet", provenance=provenance())
    app = open_page(page, study.path)
    assert not app.exception
    assert "empty" in html_of(app) or "holds no" in html_of(app)


def test_a_thousand_findings_are_turned_in_pages(study, open_page):
    index = json.loads((study.path / "study.json").read_text())
    index["entries"] = [{**index["entries"][1], "id": f"mask-{i}"} for i in range(1000)]
    (study.path / "study.json").write_text(json.dumps(index))
    app = open_page("overview.py", study.path, page="42")
    assert not app.exception
    shown = html_of(app)
    assert [f"mask-{i}" for i in range(1000) if f">mask-{i}<" in shown] == [
        f"mask-{i}" for i in range(984, 1000)
    ]


def test_without_a_study_the_page_says_how_to_make_one(tmp_path, open_page, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    app = open_page("overview.py", None)
    assert not app.exception
    assert [code.value for code in app.code] == ["interp demo"]


def test_a_directory_that_is_no_study_is_an_error_in_place(tmp_path, open_page):
    app = open_page("overview.py", tmp_path)
    assert not app.exception
    assert "is not a study" in html_of(app)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def garble(file: Path) -> None:
    file.write_bytes(b"\x80garbage")


def remove(file: Path) -> None:
    file.unlink()


BROKEN = [
    ("stores/activations/store.json", "capture.py"),
    ("stores/activations/manifest.jsonl", "capture.py"),
    ("stores/activations/shard-00000.h5", "capture.py"),
    ("stores/activations/vocabulary.json", "capture.py"),
    ("masks/located/header.json", "ability.py"),
    ("masks/located/data.safetensors", "ability.py"),
    ("comparisons/transfer/header.json", "ability.py"),
    ("comparisons/transfer/data.safetensors", "ability.py"),
]


@pytest.mark.parametrize("damage", [truncate, garble, remove])
@pytest.mark.parametrize(("file", "page"), BROKEN)
def test_a_broken_finding_is_an_error_in_place_and_the_others_live(
    study, open_page, file, page, damage
):
    damage(study.path / file)
    overview = open_page("overview.py", study.path)
    assert not overview.exception
    assert len(overview.get("html")) > 6
    shown = open_page(page, study.path)
    assert not shown.exception
    said = html_of(shown)
    assert 'role="alert"' in said or "has not ended" in said
    if "comparisons" in file:
        assert "MLP neurons" in said
    if "masks" in file:
        assert "Not supported" in said


def test_a_finding_deleted_while_the_page_is_open_is_an_error_in_place(study, open_page):
    app = open_page("capture.py", study.path)
    shutil.rmtree(study.path / "stores" / "activations")
    app.run()
    assert not app.exception
    assert 'role="alert"' in html_of(app)


def test_a_store_without_tokenizer_shows_token_numbers(tmp_path, open_page):
    study = Study.create(tmp_path / "study", title="Games", provenance=provenance())
    store = sample_store(study.path / "store", words=None)
    study.add("games", kind="store", title="Moves", path=store)
    app = open_page("capture.py", study.path)
    assert not app.exception
    assert app.dataframe[0].value["token"].str.fullmatch(r'"#\d+"').all()


def test_a_store_without_rows_says_so(tmp_path, open_page):
    study = Study.create(tmp_path / "study", title="Empty", provenance=provenance())
    store = sample_store(study.path / "store", n_sequences=0)
    study.add("empty", kind="store", title="Empty", path=store)
    app = open_page("capture.py", study.path)
    assert not app.exception
    assert "0 rows" in html_of(app)


def test_no_page_imports_torch(study):
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(APPS)!r})\n"
        f"sys.argv = ['explorer.py', {str(study.path)!r}]\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({str(APPS / 'explorer.py')!r}, default_timeout=60)\n"
        f"for page in {PAGES!r}:\n"
        "    assert not app.switch_page(page).run().exception\n"
        "assert not {'torch', 'transformers', 'transformer_lens'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
