"""The control plane's REST API: who asks, what they may, how lists are cut and errors told."""
