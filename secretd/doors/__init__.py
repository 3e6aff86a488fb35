"""The doors: each speaks one protocol for the same operations, and decides nothing."""
