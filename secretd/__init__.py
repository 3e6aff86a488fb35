"""secretd: the secrets daemon for a virtualisation host."""

__version__ = "0.1.0"
