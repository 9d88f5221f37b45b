"""What the machine offers: devices, cores, memory, compiler, versions."""
