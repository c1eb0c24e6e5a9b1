"""What runs a compiled artifact; copied into each one, so it imports nothing that only the compiler needs."""
