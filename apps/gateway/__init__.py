"""The data plane: from a client's request to the provider and back. No models."""
