"""Bytes: lazily downloaded, verified against everything known of them, cached."""
