"""From records to batches: dataset, samplers, collate, worker processes, loaders."""
