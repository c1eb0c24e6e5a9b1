"""The patches, which compute in a library's place: one table, each tried at every load, each can be switched off."""
