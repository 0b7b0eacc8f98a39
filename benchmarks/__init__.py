"""ChatVault side by side with other gateways, measured in one run: `make bench`."""
