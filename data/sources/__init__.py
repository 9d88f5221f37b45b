"""Sources of prediction: files, folders, videos, cameras and streams, as batches."""

from data.sources.batches import FrameBatch, SourceBatches
from data.sources.find import Sources, find_sources
from data.sources.frame import Frame

__all__ = ["Frame", "FrameBatch", "SourceBatches", "Sources", "find_sources"]
