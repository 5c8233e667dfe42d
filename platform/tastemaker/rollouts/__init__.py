"""What is recorded of rollouts: which versions are on their way into production, each change."""
