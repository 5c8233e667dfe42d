"""Validation of landed rows before they are published, and its reports."""
