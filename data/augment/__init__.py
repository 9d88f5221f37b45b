"""Random changes of training images and their boxes, each drawn from a keyed generator.

`compose` lays images on a canvas and finds what the output shows of them; with the draws of `hsv`,
`flip` and `mixup` that is a `plan`. `render` draws it, each image by one warp straight into the
output. Which changes a sample gets is decided in `data/dataset.py`.
"""
