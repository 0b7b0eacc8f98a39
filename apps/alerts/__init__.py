"""What people are told of budgets and prices, where, and whether it arrived."""
