"""Encryption at rest: a key-value store that encrypts what it hands to another one, and its keys.

All but `unlocking` needs the package `cryptography`, so that is what others import.
"""
