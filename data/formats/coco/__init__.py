"""COCO instances JSON: reader, boxes, categories, federated classes (LVIS)."""
