"""The HTTP process: replicas, admission, keys, meters, and what answers a request."""
