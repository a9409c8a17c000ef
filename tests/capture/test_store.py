import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.capture.header import COLUMNS, StoreHeader
from interp.capture.manifest import MANIFEST, read_manifest
from interp.capture.precision import StoredDtype
from interp.capture.shard import Shard
from interp.capture.store import ActivationStore
from interp.capture.writer import StoreWriter
from interp.results.errors import BadInput, CorruptFile, Incomplete
from interp.results.provenance import Provenance

SHARDS, ROWS = 4, 30
Foreign = Callable[[h5py.Group, str], object]
SITES = {"wide": (8,), "heads": (2, 3)}


def header(dtype: StoredDtype = "float32", *, seed: int = 0) -> StoreHeader:
    return StoreHeader(
        sites=SITES,
        dtype=dtype,
        columns=COLUMNS,
        asked=SHARDS * ROWS,
        batch_size=1,
        sequences_per_forward=1,
        sequences_per_shard=3,
        length=10,
        drop_special=False,
        absent_layers={},
        vocabulary_sha256=None,
        fidelity={"against": "eager", "max_abs_difference": 0.0, "largest_logit": 1.0},
        provenance=Provenance(
            command="a test",
            model_hash="m",
            corpus_hash="c",
            seed=seed,
            versions={},
            settings={},
        ),
    )


def values(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = SHARDS * ROWS
    sites = {name: rng.normal(size=(n, *shape)).astype("f4") for name, shape in SITES.items()}
    row = np.arange(n)
    columns = {
        "token": row % 7,
        "document": row // 25,
        "sequence": row // 10,
        "position": row % 10,
        "is_bos": row % 10 == 0,
        "is_special": row % 5 == 0,
    }
    return {**sites, **columns}


def write_store(directory: Path, dtype: StoredDtype = "float32", *, seed: int = 0) -> Path:
    """Four shards of thirty rows, each handed over in three pieces."""
    directory.mkdir(parents=True)
    head = header(dtype, seed=seed)
    head.write(directory)
    writer = StoreWriter(directory, head, queue_depth=2)
    content = values(seed)
    for shard in range(SHARDS):
        writer.begin(shard, max_rows=ROWS)
        for start in range(shard * ROWS, (shard + 1) * ROWS, 10):
            part = {name: array[start : start + 10] for name, array in content.items()}
            writer.append(
                {name: part[name] for name in SITES}, {name: part[name] for name in COLUMNS}
            )
        writer.commit(sequences=(shard * 3, shard * 3 + 3), masked=0, padding=0)
    writer.close()
    return directory


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("stores") / "store")


@pytest.fixture
def copied(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "store"))


@given(st.tuples(st.integers(0, SHARDS * ROWS), st.integers(0, SHARDS * ROWS)).map(sorted))
def test_any_range_of_rows_reads_what_was_written(stored: Path, ends: list[int]) -> None:
    start, stop = ends
    with ActivationStore.open(stored) as store:
        for site in SITES:
            assert np.array_equal(store.rows(site, start, stop), values()[site][start:stop])
        for name in COLUMNS:
            assert np.array_equal(store.column(name, start, stop), values()[name][start:stop])


@given(st.lists(st.integers(0, SHARDS * ROWS - 1), max_size=20))
def test_single_rows_come_in_the_order_asked(stored: Path, rows: list[int]) -> None:
    with ActivationStore.open(stored) as store:
        got = store.rows_at("heads", np.array(rows, np.int64))
    assert np.array_equal(got, values()["heads"][rows])


def test_the_rows_of_a_document_are_found_across_shards(stored: Path) -> None:
    with ActivationStore.open(stored) as store:
        assert store.document_rows(1).tolist() == list(range(25, 50))
        with pytest.raises(BadInput, match="no row of document 99"):
            store.document_rows(99)


def test_flags_read_as_booleans(stored: Path) -> None:
    with ActivationStore.open(stored) as store:
        assert store.column("is_bos", 0, 11).dtype == bool


def test_bfloat16_reads_as_the_nearest_float32(tmp_path: Path) -> None:
    with ActivationStore.open(write_store(tmp_path / "s", "bfloat16")) as store:
        got = store.rows("wide", 0, 40)
        assert got.dtype == np.float32
        assert np.abs(got - values()["wide"][:40]).max() <= 2**-8 * np.abs(got).max()
        assert store.rounding()["wide"].max_error > 0


def test_equal_rows_give_equal_bytes(stored: Path, tmp_path: Path) -> None:
    again = write_store(tmp_path / "again")
    for file in stored.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


def test_names_that_are_not_there_are_answered_with_those_that_are(stored: Path) -> None:
    with ActivationStore.open(stored) as store:
        with pytest.raises(BadInput, match="wide, heads"):
            store.rows("narrow", 0, 1)
        with pytest.raises(BadInput, match="token, document"):
            store.column("colour", 0, 1)
        with pytest.raises(BadInput, match="rows 0 to 120"):
            store.rows("wide", 0, 121)


def test_a_directory_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no activation store: it holds no store\.json"):
        ActivationStore.open(tmp_path)


def opened_and_verified(directory: Path) -> None:
    with ActivationStore.open(directory) as store:
        store.verify()


@pytest.mark.parametrize("name", ["store.json", MANIFEST, "shard-00002.h5"])
def test_one_flipped_bit_anywhere_is_found(copied: Path, name: str) -> None:
    opened_and_verified(copied)
    file = copied / name
    content = file.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(60):
        altered = bytearray(content)
        altered[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(altered)
        if name == MANIFEST and not altered.endswith(b"\n"):
            continue  # A last line without its end is one that a kill left, and does not count.
        with pytest.raises((CorruptFile, BadInput)):
            opened_and_verified(copied)


def test_a_shard_cut_short_anywhere_is_refused_on_reading(copied: Path) -> None:
    file = copied / "shard-00001.h5"
    content = file.read_bytes()
    for length in [0, 1, 100, len(content) // 2, len(content) - 1]:
        file.write_bytes(content[:length])
        with (
            pytest.raises(CorruptFile, match="cut or replaced"),
            ActivationStore.open(copied) as store,
        ):
            store.rows("wide", 0, 120)


def test_a_line_that_a_kill_left_unfinished_does_not_count(copied: Path) -> None:
    manifest = copied / MANIFEST
    content = manifest.read_bytes()
    manifest.write_bytes(content[:-20])
    assert len(read_manifest(copied).shards) == SHARDS - 1
    manifest.write_bytes(content + b'{"shard": "shard-00')
    assert len(read_manifest(copied).shards) == SHARDS


def test_lines_of_the_manifest_may_come_in_any_order(copied: Path) -> None:
    manifest = copied / MANIFEST
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(reversed(lines)))
    with ActivationStore.open(copied) as store:
        assert np.array_equal(store.rows("wide", 0, 120), values()["wide"])
    manifest.write_bytes(b"".join([*lines, lines[0]]))
    with pytest.raises(CorruptFile, match="names a shard twice"):
        ActivationStore.open(copied)


def test_swapped_shards_and_shards_of_another_store_are_refused(
    copied: Path, tmp_path: Path
) -> None:
    first, second = copied / "shard-00000.h5", copied / "shard-00001.h5"
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(CorruptFile, match="another place"), ActivationStore.open(copied) as store:
        store.rows("wide", 0, 1)
    other = write_store(tmp_path / "other", seed=1)
    first.write_bytes((other / first.name).read_bytes())
    with pytest.raises(CorruptFile, match="another store"), ActivationStore.open(copied) as store:
        store.rows("wide", 0, 1)
    first.write_bytes(content)
    opened_and_verified(copied)


def virtual(sites: h5py.Group, elsewhere: str) -> None:
    layout = h5py.VirtualLayout((ROWS, 8), "<f4")
    layout[:] = h5py.VirtualSource(elsewhere, "sites/wide", (ROWS, 8))
    sites.create_virtual_dataset("wide", layout)


def dataset(shape: tuple[int, ...] = (ROWS, 8), dtype: object = "<f4", **how: Any) -> Foreign:
    return lambda sites, _: sites.create_dataset("wide", shape, dtype, **how)


FOREIGN: dict[str, Foreign] = {
    "external link": lambda sites, elsewhere: sites.__setitem__(
        "wide", h5py.ExternalLink(elsewhere, "/sites/wide")
    ),
    "soft link cycle": lambda sites, _: sites.__setitem__("wide", h5py.SoftLink("/sites/wide")),
    "external storage": lambda sites, elsewhere: sites.create_dataset(
        "wide", (ROWS, 8), "<f4", external=[(elsewhere, 0, ROWS * 32)]
    ),
    "virtual dataset": virtual,
    "compression bomb": dataset(compression="gzip", fillvalue=0),
    "absurd shape": dataset((1 << 40, 8), chunks=(1, 8)),
    "rows that are not there": dataset(chunks=(1, 8)),
    "objects": dataset(dtype=h5py.string_dtype()),
    "group": lambda sites, _: sites.create_group("wide"),
    "other byte order": dataset(dtype=">f4", chunks=(ROWS, 8), data=np.ones((ROWS, 8))),
    "nothing": lambda sites, _: None,
}
"""What may stand where a shard has `sites/wide`, none of which we ever write."""


@pytest.mark.parametrize("kind", FOREIGN)
def test_an_hdf5_file_that_we_would_never_write_is_refused(
    copied: Path, stored: Path, kind: str
) -> None:
    file = copied / "shard-00000.h5"
    with h5py.File(file, "r+") as opened:
        sites = opened["sites"]
        assert isinstance(sites, h5py.Group)
        del sites["wide"]
        FOREIGN[kind](sites, str(stored / "shard-00001.h5"))
    entry = replace(read_manifest(copied).shards[0], bytes=file.stat().st_size)
    with pytest.raises(CorruptFile):
        Shard(copied, header(), entry)


def test_a_shard_that_is_a_link_is_refused(copied: Path, stored: Path) -> None:
    file = copied / "shard-00000.h5"
    file.unlink()
    file.symlink_to(stored / file.name)
    with pytest.raises(CorruptFile, match="no ordinary file"):
        opened_and_verified(copied)


def test_reading_while_a_shard_is_written_shows_the_committed_ones(copied: Path) -> None:
    (copied / "shard-00004.h5.partial").write_bytes(b"half a shard")
    with ActivationStore.open(copied) as store:
        assert store.n_rows == SHARDS * ROWS
        assert not store.is_complete


def test_a_failed_write_keeps_what_was_committed_and_says_how_to_go_on(tmp_path: Path) -> None:
    head = header()
    head.write(tmp_path)
    writer = StoreWriter(tmp_path, head, queue_depth=1)
    part = {name: array[:10] for name, array in values().items()}
    sites, columns = {n: part[n] for n in SITES}, {n: part[n] for n in COLUMNS}
    writer.begin(0, max_rows=10)
    writer.append(sites, columns)
    writer.commit(sequences=(0, 1), masked=0, padding=0)
    (tmp_path / "shard-00001.h5.partial").mkdir()
    with pytest.raises(Incomplete, match="10 rows, which are safe"):
        for _ in range(9):
            writer.begin(1, max_rows=10)
            writer.append(sites, columns)
            writer.commit(sequences=(1, 2), masked=0, padding=0)
        writer.close()
    writer.abandon()
    with ActivationStore.open(tmp_path) as store:
        store.verify()
        assert store.n_rows == 10


def test_a_store_of_the_first_format_still_opens() -> None:
    with ActivationStore.open(Path(__file__).parent / "data" / "store-1") as store:
        store.verify()
        assert np.array_equal(store.rows("wide", 0, 120), values()["wide"])
