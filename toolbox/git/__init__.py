"""Repositories: the git program where files, packs or the network are involved, libgit2 where only metadata is."""
