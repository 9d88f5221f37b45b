"""From detections to numbers: COCO AP, operating points, confusion matrix."""
