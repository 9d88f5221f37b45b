"""How weights move: optimizer, learning rates, gradients and their memory, weight averages."""
