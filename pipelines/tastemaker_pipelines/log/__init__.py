"""The log of requests and feedback, brought into the lake, and the feedback as rows for validation."""
