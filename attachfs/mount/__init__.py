"""The kernel's side: a thin pyfuse3 adapter and the life of a mount."""
