"""The web's own defences: which request gets in, and what a browser may do with an answer."""
