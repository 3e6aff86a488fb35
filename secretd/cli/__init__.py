"""secretctl: the command line of secretd, with virsh's names and meanings for what virsh has."""
