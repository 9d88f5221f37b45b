"""Readers and writers of label formats: YOLO txt, COCO JSON, Pascal VOC XML."""
