"""Traces, on their way to a collector: off without an endpoint, and then nothing is imported.

Spans of the gateway are made by hand (`apps/gateway/tracing.py`); those of the admin and of tasks
come from OpenTelemetry's instrumentations. All of them end in one bounded queue of the process
and leave by one thread of it, through the same guarded client that calls providers.
"""
