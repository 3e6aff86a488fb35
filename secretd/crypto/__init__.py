"""Sealing: what is at rest, and the keys it is sealed with.

The only room that knows the library ``cryptography``.  It does no I/O but to read slot keys (slots).
docs/storage-format.md is the law for every byte written here.
"""
