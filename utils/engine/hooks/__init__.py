"""Built-in hooks, one file each: logs, best weights, checkpoints, early stopping."""
