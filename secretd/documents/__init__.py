"""XML and the model: every document is read and written here, and nowhere else is lxml or expat known."""
