"""Killed anywhere and started again: the output is that of an undisturbed run."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
import torch

from interp.abilities.moving.extract import extract
from interp.abilities.moving.transfer import transfer
from interp.abilities.streaming import writer
from interp.abilities.streaming.writer import JOURNAL, StagedDirectory
from interp.results.errors import BadInput, Incomplete
from tests.abilities.checkpoints import near, random_tensors, write_model


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def content(directory):
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(file.relative_to(directory)): file.read_bytes() for file in files}


def staging(out):
    return list(out.parent.glob(f"{out.name}.tmp-*"))


@pytest.fixture
def models(tmp_path):
    base = random_tensors(0, torch.bfloat16)
    for i, name in enumerate(["base", "ability", "general", "language"]):
        write_model(tmp_path / name, near(base, i) if i else base, shards=2)
    return tmp_path


def extracting(place, out, **options):
    return extract(
        place / "base",
        place / "ability",
        out,
        general=place / "general",
        chunk=32,
        threads=1,
        sync_every=1,
        **options,
    )


def transferring(place, out, **options):
    return transfer(
        place / "base",
        place / "weights",
        out,
        language=place / "language",
        chunk=32,
        threads=1,
        sync_every=1,
        **options,
    )


@pytest.mark.parametrize("work", [extracting, transferring])
def test_stopped_after_any_journal_entry_it_goes_on_to_the_same_bytes(models, monkeypatch, work):
    extracting(models, models / "weights")
    work(models, models / "whole")
    expected = content(models / "whole")
    real, synced = StagedDirectory._sync_pending, [0]

    def killed_after(limit):
        def sync(self):
            real(self)
            synced[0] += 1
            if synced[0] == limit:
                raise Killed

        return sync

    steps = 0
    while True:
        steps += 1
        synced[0] = 0
        out = models / f"out{steps}"
        monkeypatch.setattr(StagedDirectory, "_sync_pending", killed_after(steps))
        try:
            work(models, out)
        except Killed:
            assert not out.exists()
            assert len(staging(out)) == 1
            monkeypatch.setattr(StagedDirectory, "_sync_pending", real)
            work(models, out)
            assert content(out) == expected
            assert not staging(out)
            shutil.rmtree(out)
            continue
        break
    assert steps > 12


def test_pieces_that_are_safe_are_not_computed_again(models, monkeypatch):
    extracting(models, models / "weights")
    from interp.abilities.moving import addition

    real, computed = addition.merged_words, []

    def counting(addition, piece, base):
        computed.append(piece)
        if len(computed) == 10:
            raise Killed
        return real(addition, piece, base)

    monkeypatch.setattr(addition, "merged_words", counting)
    with pytest.raises(Killed):
        transferring(models, models / "out")
    transferring(models, models / "out")
    assert len(computed) == len(set(computed)) + 1


def test_a_piece_that_changed_on_disk_is_written_again(models, monkeypatch):
    extracting(models, models / "weights")
    expected = content(transferring(models, models / "whole").path)
    with monkeypatch.context() as patch:
        patch.setattr(StagedDirectory, "publish", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            transferring(models, models / "out")
    (stage,) = staging(models / "out")
    for file in stage.glob("*.safetensors"):
        damaged = bytearray(file.read_bytes())
        damaged[-1] ^= 1
        file.write_bytes(damaged)
    transferring(models, models / "out")
    assert content(models / "out") == expected


def test_a_journal_line_cut_short_is_forgotten(models, monkeypatch):
    extracting(models, models / "weights")
    expected = content(transferring(models, models / "whole").path)
    with monkeypatch.context() as patch:
        patch.setattr(StagedDirectory, "publish", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            transferring(models, models / "out")
    journal = staging(models / "out")[0] / JOURNAL
    text = journal.read_bytes()
    journal.write_bytes(text[:-9] + b"\xff\xfe\n[1, 2\n[]\n")
    transferring(models, models / "out")
    assert content(models / "out") == expected


def test_another_job_does_not_take_over_what_a_stopped_one_left(models, monkeypatch):
    extracting(models, models / "weights")
    expected = content(transferring(models, models / "whole", gamma=0.5).path)
    with monkeypatch.context() as patch:
        patch.setattr(StagedDirectory, "publish", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            transferring(models, models / "out")
    transferring(models, models / "out", gamma=0.5)
    assert content(models / "out") == expected


def test_what_a_kill_left_of_a_small_file_is_not_published(models, monkeypatch):
    extracting(models, models / "weights")
    expected = content(transferring(models, models / "whole").path)
    with monkeypatch.context() as patch:
        patch.setattr(StagedDirectory, "publish", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            transferring(models, models / "out")
    (staging(models / "out")[0] / ".interp.json.tmp-0a1b2c3d").write_text('{"schema": "inter')
    transferring(models, models / "out")
    assert content(models / "out") == expected


@pytest.mark.slow
def test_a_process_killed_by_the_system_is_resumed(models):
    extracting(models, models / "weights")
    expected = content(transferring(models, models / "whole").path)
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from interp.abilities.streaming.writer import StagedDirectory
        from interp.abilities.moving.transfer import transfer
        place = Path(sys.argv[1])
        real, n = StagedDirectory._sync_pending, 0
        def sync(self):
            global n
            real(self)
            n += 1
            if n == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        StagedDirectory._sync_pending = sync
        transfer(place / "base", place / "weights", place / "out", language=place / "language",
                 chunk=32, threads=2, sync_every=1)
        """
    )
    command = [sys.executable, "-c", script, str(models)]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (models / "out").exists()
    transferring(models, models / "out")
    assert content(models / "out") == expected


def test_a_disk_that_fills_up_leaves_nothing_at_the_place_and_goes_on(models, monkeypatch):
    extracting(models, models / "weights")
    expected = content(transferring(models, models / "whole").path)
    real, written = os.pwrite, [0]

    def full(descriptor, data, offset):
        written[0] += 1
        if written[0] > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(Incomplete, match="disk is full"):
            transferring(models, models / "out")
    assert not (models / "out").exists()
    transferring(models, models / "out")
    assert content(models / "out") == expected


@pytest.mark.slow
def test_a_real_limit_on_file_size_is_one_line_and_exit_code_3(models):
    extracting(models, models / "weights")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))

    script = (
        "import sys; from pathlib import Path\n"
        "from interp.abilities.moving.transfer import transfer\n"
        "from interp.results.errors import InterpError\n"
        "p = Path(sys.argv[1])\n"
        "try: transfer(p / 'base', p / 'weights', p / 'out')\n"
        "except InterpError as error: sys.exit(error.exit_code)"
    )
    command = [sys.executable, "-B", "-c", script, str(models)]
    ended = subprocess.run(command, preexec_fn=limit, capture_output=True, check=False)
    assert ended.returncode == 3, ended.stderr.decode()
    assert not (models / "out").exists()


def test_a_disk_too_small_is_refused_with_the_bytes_needed_before_anything_is_written(
    models, monkeypatch
):
    extracting(models, models / "weights")
    usage = shutil.disk_usage(models)._replace(free=1000)
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(BadInput, match=r"needs [\d,]+ bytes .* has 1,000"):
        transferring(models, models / "out")
    assert not staging(models / "out")


def test_an_output_that_exists_is_kept_unless_it_may_be_replaced(models):
    extracting(models, models / "weights")
    transferring(models, models / "out")
    before = content(models / "out")
    with pytest.raises(BadInput, match="--overwrite"):
        transferring(models, models / "out", gamma=0.5)
    with pytest.raises(BadInput, match="--overwrite"):
        extracting(models, models / "weights")
    assert content(models / "out") == before
    transferring(models, models / "out", gamma=0.5, overwrite=True)
    assert content(models / "out") != before
    assert {file.name for file in models.iterdir()} >= {"out", "weights", "base"}
    assert not list(models.glob("out.*"))


def test_what_interp_did_not_make_is_refused_before_any_work(models):
    extracting(models, models / "weights")
    (models / "notes").write_text("mine")
    (models / "precious" / "sub").mkdir(parents=True)
    thesis = models / "precious" / "sub" / "thesis.txt"
    thesis.write_text("years of work")
    base = content(models / "base")
    for out in ("notes", "precious", "base"):
        for work in (extracting, transferring):
            with pytest.raises(BadInput, match="not something interp made"):
                work(models, models / out, overwrite=True)
    assert content(models / "base") == base
    assert (models / "notes").read_text() == "mine"
    assert thesis.read_text() == "years of work"
    assert not list(models.glob("*.tmp-*"))


def test_what_a_run_with_other_settings_left_is_named(models, capsys):
    extracting(models, models / "weights")
    left = models / "out.tmp-000000000000"
    left.mkdir()
    transferring(models, models / "out")
    assert f"{left} is half of another out" in capsys.readouterr().err
    assert left.is_dir()


def test_two_runs_of_one_job_do_not_write_at_the_same_time(tmp_path):
    one = StagedDirectory(tmp_path / "out", job="j" * 64, sizes={"a": 8})
    two = StagedDirectory(tmp_path / "out", job="j" * 64, sizes={"a": 8})
    with one, pytest.raises(BadInput, match="another run"), two:
        pass
