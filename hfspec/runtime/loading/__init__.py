"""From the files of a verified artifact to a model that is ready."""
