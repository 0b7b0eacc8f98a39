"""Requests as files: CSV, JSON, Parquet, and CSV by the FinOps standard FOCUS."""
