"""Replicas as actors of a Ray cluster, kept there by Ray Serve: the extra `ray`."""
