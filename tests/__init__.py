"""The tests, in the same rooms as the packages they check."""
