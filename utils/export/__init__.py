"""Export formats: writing, describing and running files; independent of our models."""
