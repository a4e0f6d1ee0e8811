"""The page that `stratonet evaluate` writes: a file per section, see README.md."""
