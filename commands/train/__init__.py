"""What train.py does: a whole training, its folder, its report, its proof of exact resume."""
