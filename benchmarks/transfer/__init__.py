"""Transfer over seeds: what each part of MAET is worth beside plain addition and more training."""
