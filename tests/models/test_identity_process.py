from pathlib import Path

import pytest

from interp.models import identity_process
from interp.models.identity import model_identity
from interp.results.errors import CorruptFile
from tests.models import tiny_model_directory


def test_a_process_finds_the_identities_that_this_one_does(tmp_path: Path) -> None:
    directories = [tiny_model_directory(style, tmp_path / style) for style in ("gpt2", "llama")]
    found = identity_process.finish(identity_process.start(directories, cache=None))
    assert found == [model_identity(directory) for directory in directories]


def test_a_truncated_shard_is_the_same_error_from_a_process(tmp_path: Path) -> None:
    directory = tiny_model_directory("gpt2", tmp_path / "model")
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CorruptFile) as here:
        model_identity(directory)
    with pytest.raises(CorruptFile) as there:
        identity_process.finish(identity_process.start([directory], cache=None))
    assert str(there.value) == str(here.value)
