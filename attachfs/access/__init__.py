"""Come by an archive: with which settings, whether it answers, and the file system over it."""
