"""The plan as a value and as a document, and the commands its changes render to."""
