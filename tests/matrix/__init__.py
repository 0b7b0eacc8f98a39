"""Who gets what answer from which route, for which row: the whole table is in expected.csv."""
