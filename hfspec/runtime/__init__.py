"""The runtime of a compiled artifact; each artifact has a copy, so it imports nothing that only the compiler needs."""
