"""The command line: argv -> call -> report -> exit code. The only code that prints."""
