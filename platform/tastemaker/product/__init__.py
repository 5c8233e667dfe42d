"""What product staff ask of the logs: how people take what they are shown."""
