"""Everything that is neither settings, data nor network; only subpackages, each with one charter."""
