"""What is recorded of trainings: why each one ran and what it cost, and the requests for them."""
