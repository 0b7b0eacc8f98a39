"""Reports: sums of requests by what they are of and when, exact in any time zone."""
