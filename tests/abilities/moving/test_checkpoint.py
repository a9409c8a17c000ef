import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.abilities.streaming.change import absolute_change
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import Chunk, chunk_grid, in_order
from interp.abilities.streaming.numbers import not_finite_at, to_numbers, to_words
from interp.abilities.streaming.topk import scores_of_arrays, top_entries
from interp.models.weight_files import SINGLE
from interp.results.errors import BadInput, CorruptFile
from tests.abilities.checkpoints import SHAPES, near, random_tensors, write_model

FORMATS = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
}


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_pieces_of_a_tensor_are_its_numbers(tmp_path, dtype, shards):
    tensors = random_tensors(0, FORMATS[dtype])
    with Checkpoint(write_model(tmp_path / "m", tensors, shards=shards)) as model:
        for chunk in (1, 5, 1 << 18):
            for name, tensor in tensors.items():
                parts = [
                    to_numbers(model.words(piece), model.span(name).dtype)
                    for piece in model.chunks([name], chunk=chunk)
                ]
                assert torch.equal(torch.cat(parts), tensor.flatten().to(parts[0].dtype))


def test_a_tensor_that_is_not_there_is_named(tmp_path):
    with (
        Checkpoint(write_model(tmp_path / "m", random_tensors(0))) as model,
        pytest.raises(BadInput, match="'q'"),
    ):
        model.span("q")


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path):
    with Checkpoint(write_model(tmp_path / "m", random_tensors(0))) as model:
        file = tmp_path / "m" / SINGLE
        file.write_bytes(file.read_bytes()[:400])
        with pytest.raises(CorruptFile, match="truncated"):
            for piece in model.chunks():
                model.words(piece)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_every_bit_pattern_of_a_small_format_survives_the_way_up_and_down(dtype):
    words = np.arange(1 << 16, dtype=np.uint16)
    numbers = to_numbers(words.copy() if dtype == "BF16" else words.view(np.float16), dtype)
    back = to_words(numbers, dtype).view(np.uint16)
    finite = torch.isfinite(numbers).numpy()
    np.testing.assert_array_equal(back[finite], words[finite])


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_rounding_is_to_nearest_even(values):
    numbers = torch.tensor(values, dtype=torch.float32)
    word = to_words(numbers, "BF16").astype(np.uint32) << 16
    below = (numbers.numpy().view(np.uint32) & 0xFFFF0000).view(np.float32).astype(np.float64)
    above = ((numbers.numpy().view(np.uint32) & 0xFFFF0000) + 0x10000).view(np.float32)
    exact = numbers.numpy().astype(np.float64)
    rounded = word.view(np.float32).astype(np.float64)
    nearest = np.minimum(np.abs(exact - below), np.abs(above.astype(np.float64) - exact))
    usable = np.isfinite(above) & np.isfinite(rounded)
    assert (np.abs(rounded - exact)[usable] <= nearest[usable]).all()
    tied = usable & (np.abs(exact - below) == np.abs(above.astype(np.float64) - exact))
    assert (word[tied] >> 16 & 1 == 0).all()


@pytest.mark.parametrize(
    ("value", "dtype", "bad"),
    [
        (65504.0, "F16", False),
        (65519.0, "F16", False),
        (65520.0, "F16", True),
        (-65520.0, "F16", True),
        (3.4e38, "F32", False),
        (3.4e38, "BF16", True),
        (float("nan"), "F32", True),
        (float("-inf"), "BF16", True),
    ],
)
def test_overflow_is_seen_where_rounding_makes_it(value, dtype, bad):
    numbers = torch.tensor([0.0, 1.0, value, 2.0])
    assert not_finite_at(numbers, dtype).tolist() == ([2] if bad else [])


@given(st.integers(1, 9), st.integers(1, 4))
def test_results_come_in_the_order_of_the_chunks(chunk, threads):
    pieces = list(chunk_grid([("a", 7), ("none", 0), ("b", 12)], chunk=chunk))
    assert list(in_order(lambda piece: piece, pieces, threads=threads)) == pieces
    assert sum(piece.stop - piece.start for piece in pieces) == 19


def test_the_first_error_of_a_chunk_is_raised_and_threads_are_put_back():
    before = torch.get_num_threads()

    def fails(piece: Chunk) -> int:
        return 1 // (5 - piece.start)

    with pytest.raises(ZeroDivisionError):
        list(in_order(fails, chunk_grid([("a", 100)], chunk=1), threads=3))
    assert torch.get_num_threads() == before


@settings(max_examples=10)
@given(
    shards=st.sampled_from([1, 2, 6]),
    chunk=st.sampled_from([1, 8, 13, 1 << 18]),
    k=st.integers(0, 252),
)
def test_the_mask_of_changes_does_not_depend_on_sharding_or_chunks(
    tmp_path_factory, shards, chunk, k
):
    place = tmp_path_factory.mktemp("change")
    base = random_tensors(0, torch.bfloat16)
    trained = near(base, 1)
    changes = {name: (trained[name].float() - base[name].float()).numpy() for name in base}
    expected = top_entries(SHAPES, scores_of_arrays(changes), k=k)
    with (
        Checkpoint(write_model(place / "base", base, shards=shards)) as one,
        Checkpoint(write_model(place / "trained", trained, shards=2)) as two,
    ):
        found = top_entries(SHAPES, absolute_change(one, two, chunk=chunk), k=k)
    assert found.threshold == expected.threshold or k == 0
    for name in SHAPES:
        np.testing.assert_array_equal(found.supports[name].dense(), expected.supports[name].dense())
