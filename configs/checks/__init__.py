"""Unknown, unused and contradictory keys, each in one line with the remedy."""
