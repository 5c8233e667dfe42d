"""Statistics: bootstrap intervals, paired tests, Holm's correction and concentration bounds."""
