"""Drawing whole batches of planned samples on the training device, by tensor operations.

The worker sends `sources`: the windows of the images that are seen, packed with tables into an
`planned_batch`. `scenes` finds every output pixel in them, `colours` changes the result.
"""
