"""What libgit2 does in a process of its own where there is no git program: one operation per process.

It refuses what it would do wrong (filters, sparse working trees) instead of doing damage.
"""
