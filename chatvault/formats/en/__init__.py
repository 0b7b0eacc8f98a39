"""English, without a.m. and p.m."""
