"""The engine without a git program: each operation runs libgit2 in its own process.

It refuses operations that libgit2 would do wrong (filters, sparse working trees).
"""
