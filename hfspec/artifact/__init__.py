"""How an artifact comes to lie on a disk: its staging folder, its generated texts, its trial run."""
