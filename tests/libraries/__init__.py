"""Libraries that run models, each by its row."""
