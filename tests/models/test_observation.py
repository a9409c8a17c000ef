"""Which tensors have one entry a token, by their shapes under two sizes of input."""

import pytest

from interp.models.observation import SHAPES, entry_shape


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (lambda b, p: (b, p, 32), ((32,), False, True)),
        (lambda b, p: (b, p), ((), False, True)),
        (lambda b, p: (b, p, 4, 8), ((4, 8), False, True)),
        (lambda b, p: (b * p, 4), ((4,), True, True)),
        (lambda b, p: (b, p, p), None),
        (lambda b, p: (b, 4, p, p), None),
        (lambda b, p: (b, 3, p, 8), None),
        (lambda b, p: (p, b, 32), None),
        (lambda b, p: (1, p, 32), None),
        (lambda b, p: (b, 32), None),
        (lambda b, p: (b * p, p), None),
        (lambda b, p: (), None),
    ],
)
def test_an_entry_a_token_is_told_from_axes_that_only_look_like_it(shape, expected):
    one, two = (shape(batch, pos) for batch, pos in SHAPES)
    found = entry_shape(one, two)
    assert found == (expected or (one, False, False))


def test_the_two_sizes_differ_in_both_axes():
    (batch, pos), (other_batch, other_pos) = SHAPES
    assert len({batch, other_batch}) == len({pos, other_pos}) == 2
    assert batch != pos
    assert other_batch != other_pos
