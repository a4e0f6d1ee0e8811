"""The page that `stratonet evaluate` writes."""
