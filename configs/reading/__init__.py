"""From YAML files, their bases and the command line to checked settings, each with its origin."""
