"""Settings: typed schema, loader, presets; imports neither torch nor anything else of ours."""
