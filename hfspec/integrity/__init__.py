"""An artifact held against its manifest before anything parses it."""
