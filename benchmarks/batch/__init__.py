"""What `hfspec batch` costs beside the same rows in a loop."""
