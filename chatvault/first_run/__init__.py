"""What makes a first run useful: an administrator, a demo, and providers found by their keys."""
