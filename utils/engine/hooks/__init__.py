"""What happens beside the training loop, one file each: logs, weights, checkpoints, early end."""
