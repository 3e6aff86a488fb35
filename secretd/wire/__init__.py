"""The protocol cores: bytes in, events out, and no socket. See docs/protocol.md for the native door's."""
