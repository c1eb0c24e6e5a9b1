"""How the files of a checkpoint are read: standard library only, for compile and for the runtime."""
