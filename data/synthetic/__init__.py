"""The generated data set: layout, rendering and labels of its scenes."""

from data.synthetic.scene import CLASS_NAMES, Scene, render_scene

__all__ = ["CLASS_NAMES", "Scene", "render_scene"]
