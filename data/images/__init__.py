"""Image files and their pixels: header, decoding, EXIF, cache on disk, letterbox."""
