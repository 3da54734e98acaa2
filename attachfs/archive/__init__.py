"""The REST API: pure requests and parsers, credentials, one client; knows no file system."""
