"""One detector a file, each exporting DETECTOR; the registry finds them here."""
