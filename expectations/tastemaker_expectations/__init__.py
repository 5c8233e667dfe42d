"""Great Expectations suites, one per table. A suite defines valid rows; the gate quarantines the others."""
