"""Drawing of the embedded data set: what a scene holds, how it looks, what is labelled."""

from data.synthetic.scene import CLASS_NAMES, Scene, render_scene

__all__ = ["CLASS_NAMES", "Scene", "render_scene"]
