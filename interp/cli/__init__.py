"""The `interp` command: one small file a noun, heavy imports inside the functions."""
