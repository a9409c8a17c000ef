"""The world of the grammar model: sentences with trees, facts of invented names, label tasks."""
