"""Rendering of whole batches of planned samples on the training device, by tensor operations.

The worker sends `sources`: the visible windows of the images, packed with tables into a
`planned_batch`. `scenes` interpolates every output pixel from them.
"""
