"""Where the parts of a job are made: a row of the table each. All of them write the same files."""
