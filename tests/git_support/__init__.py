"""Real remotes and repositories for the tests of git."""
