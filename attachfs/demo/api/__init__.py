"""The HTTP of the embedded archive, one subject of the API a module."""
