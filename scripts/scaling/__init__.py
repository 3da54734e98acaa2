"""Measure what an attachment costs, and reckon what ten million of them do."""
