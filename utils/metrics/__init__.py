"""Metrics of detections: COCO AP, operating points, confusion matrix, calibration."""
