"""Two specs, locks or artifacts compared by what they mean, not by how they are written."""
