"""RelaxNG schemas of the documents and messages, as package data."""
