"""One room per program: its command line, what it does, what it writes."""
