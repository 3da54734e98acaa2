"""attachfs: an RKVST / DataTrails archive as a directory."""
