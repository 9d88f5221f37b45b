"""From the losses of single logits and boxes to the terms that a training step minimises."""
