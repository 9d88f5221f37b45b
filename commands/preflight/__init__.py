"""train.py --preflight: everything a training does, tried in less than a minute."""
