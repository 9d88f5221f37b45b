"""Random changes of training images and their boxes, each with a random stream of its own.

A batch is planned in arrays: `layout` places images on canvases and finds the visible parts; these
and the sampled parameters of the pixel operations (`pixel_ops`) are a `plan`. It makes each image,
every source by one resize or warp straight into the output, then one operation after the other;
`device/` does so on the training device. The scenes of a sample are chosen in
`data/loading/dataset.py`.
"""
