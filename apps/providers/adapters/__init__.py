"""Families of providers: pure translations between OpenAI's format and theirs."""
