"""FocalDet from Python: what the module `focaldet` offers."""
