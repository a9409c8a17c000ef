import subprocess
import sys

from interp.results.provenance import Provenance, package_versions


def test_a_provenance_survives_json() -> None:
    made = Provenance.collect(
        "interp capture", model_hash="a", corpus_hash="b", seed=3, settings={"sites": ["x"]}
    )
    assert Provenance.from_json(made.to_json()) == made


def test_versions_are_read_without_importing_torch() -> None:
    code = (
        "import sys; from interp.results.provenance import package_versions as v; v();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert package_versions()["torch"][0].isdigit()
