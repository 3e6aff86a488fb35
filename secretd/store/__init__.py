"""Where sealed records are kept: the contract, its engines, and what else must survive a power cut."""
