"""Data sets written: COCO JSON, Pascal VOC XML, YOLO labels."""
