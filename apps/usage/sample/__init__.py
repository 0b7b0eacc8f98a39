"""Made-up usage by the million, as a busy installation would have it: to measure with, and to look
at reports before there is any real use."""
