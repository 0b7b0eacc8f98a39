"""`manage.py serve`: one command that prepares, starts and watches all processes."""
