"""The process that has a model: it puts the rows of all requests into batches."""
