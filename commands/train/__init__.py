"""What train.py does: a training run, its folder, its report, the check of exact resume."""
