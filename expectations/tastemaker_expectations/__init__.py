"""Great Expectations suites, one a table. A suite says what a sound row is; the gate acts on it."""
