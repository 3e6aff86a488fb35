"""The process: sockets, signals, configuration, and what puts the other rooms together."""
