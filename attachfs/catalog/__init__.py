"""What exists: records, listings and `/info`, each asked once within its lifetime."""
