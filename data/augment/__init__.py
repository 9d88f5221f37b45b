"""Random changes of training images and their boxes, each with a random stream of its own.

`compose` lays images on a canvas and finds what the output shows of them; that and what the pixel
operations of the table in `pixel_ops` sampled is a `plan`. `render` makes the image, each source
by one warp straight into the output, then one operation after the other; `device/` does so for
whole batches. Which scenes a sample gets is decided in `data/loading/dataset.py`.
"""
