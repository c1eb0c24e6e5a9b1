"""What is done to a process of our own: shorter imports, kept memory."""
