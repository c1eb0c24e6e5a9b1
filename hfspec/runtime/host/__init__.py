"""The setup of a process of our own: shorter imports, kept memory."""
