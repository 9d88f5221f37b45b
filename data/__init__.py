"""From files to batches: readers, records, images, augmentation, loaders; never imports models."""
