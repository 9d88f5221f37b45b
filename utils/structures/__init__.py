"""The vocabulary of the project: detection types and box geometry; imports nothing of ours."""
