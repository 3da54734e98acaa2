"""Measure attachfs against other programs that do the same, side by side in one run."""
