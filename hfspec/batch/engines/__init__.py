"""The engines that make the parts of a job, a row of the table each. All of them write the same files."""
