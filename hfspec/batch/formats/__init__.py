"""The formats of files that rows are read from and written to."""
