"""Small helpers that know nothing of recommendation: files, locks, threads, spelling."""
