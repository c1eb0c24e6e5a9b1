"""What hfspec computes in a library's place: one table, each tried at every load, each to be switched off."""
