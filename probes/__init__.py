"""What one asks a model."""
