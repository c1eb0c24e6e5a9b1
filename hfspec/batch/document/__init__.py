"""The batch file: a job, in git beside the specs."""
