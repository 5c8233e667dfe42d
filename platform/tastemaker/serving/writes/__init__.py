"""What requests write: feedback, and changes to the catalogue."""
