"""Whole batches of samples, planned in arrays and drawn into the memory of the batch.

What `TrainDataset.plan` and `render` do for one sample, for all samples of a batch at once and with
the same pixels and boxes, bit for bit: `geometry` lays images out and places tiles and objects,
`drawing` makes the pixels.
"""
