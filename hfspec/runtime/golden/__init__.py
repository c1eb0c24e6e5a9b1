"""An artifact's own examples, run and compared with the expected answers."""
