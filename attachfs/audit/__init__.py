"""Work on whole trees: what to fetch, what to verify, and what came of it."""
