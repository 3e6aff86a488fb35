"""What the daemon does: secrets, access and the seal. Knows no socket, no XML and no SQL."""
