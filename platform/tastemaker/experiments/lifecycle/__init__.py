"""The life of an experiment: its states, who may change them, the audit trail, and the plan file."""
