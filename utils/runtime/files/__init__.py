"""Files written whole or not at all, read with one-line errors; run and cache folders."""
