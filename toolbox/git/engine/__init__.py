"""Two engines behind one interface: the git program, and libgit2 where no git program is installed."""
