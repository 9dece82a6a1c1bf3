"""Encryption at rest: a key-value store that encrypts for another one, and its keys.

Import `open` or `key_source`. The other modules need the package `cryptography`.
"""
