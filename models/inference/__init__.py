"""From raw predictions to detections: post-processing, NMS, fusion, merging of views."""
