"""The format on disk: an independent reader, and golden stores."""
