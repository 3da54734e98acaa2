"""The views of the estate: one module each, all over the same files."""
