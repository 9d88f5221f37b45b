"""The criterion: sums the losses of single logits and boxes to the terms of a training step."""
