"""A network as rows of blocks: read, checked and built; no `eval`."""
