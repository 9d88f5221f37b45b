"""What weights bring to the experiment that starts from them: their network and losses."""
