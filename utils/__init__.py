"""Everything that is neither settings, data nor network: subpackages with one charter each."""
