"""Image files: header, decoding, EXIF, disk cache, letterbox."""
