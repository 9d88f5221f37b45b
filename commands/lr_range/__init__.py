"""train.py --lr-range: the learning rate at which the loss falls fastest."""
