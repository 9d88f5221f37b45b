"""The processes of one distributed (DDP) training: ranks and the watchdog over them."""
