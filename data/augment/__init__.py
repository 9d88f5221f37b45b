"""Random changes of training images and their boxes, each with a random stream of its own.

`compose` places images on a canvas and finds the visible parts; these and the sampled parameters of
the pixel operations (`pixel_ops`) are a `plan`. `render` makes the image, each source by one warp
straight into the output, then one operation after the other. `batch/` does both for the samples of
a batch at once, with the same bits; `device/` renders whole batches on the training device. The
scenes of a sample are chosen in `data/loading/dataset.py`.
"""
