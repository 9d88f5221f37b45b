"""YOLO text labels: reader, columns of a row, files of images and labels."""
