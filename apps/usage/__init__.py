"""The request log, the journal and what is derived from them."""
