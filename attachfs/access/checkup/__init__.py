"""Check one by one what an archive and its cache need, and say what to do: `attachfs doctor`."""
