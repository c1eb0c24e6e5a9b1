"""An artifact's own examples, run and held against what was expected."""
