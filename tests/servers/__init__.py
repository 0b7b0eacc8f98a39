"""Real servers for tests, brought by pip: PostgreSQL and Valkey, each on a private socket."""
