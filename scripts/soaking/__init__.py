"""Read through a mount for long, while one request in a hundred meets a fault."""
