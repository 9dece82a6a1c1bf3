"""A log in front of a key-value store: a commit costs one sequential flush."""
