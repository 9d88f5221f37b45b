"""Small programs to read and to run; each file says how."""
