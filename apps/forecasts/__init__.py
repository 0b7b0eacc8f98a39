"""What requests would cost, and what budgets will have spent."""
