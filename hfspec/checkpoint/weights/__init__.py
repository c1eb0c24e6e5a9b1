"""The files that hold weights: read by their headers, held against the architecture, copied, cast, cut into shards."""
