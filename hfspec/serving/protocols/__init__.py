"""The protocols that clients speak: a file a protocol, and the table of them."""
