"""The format on disk: an independent reader, and stores that releases made."""
