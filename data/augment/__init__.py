"""Random changes of training images and their boxes, each drawn from a keyed generator.

`compose` lays images on a canvas and warps each one straight into the output; `hsv`, `flip` and
`mixup` work on the result. Which of them a sample gets is decided in `data/dataset.py`.
"""
