"""Collaborative filtering: items that users with a similar history liked.

implicit is imported only while iALS and BPR are fitted: answering needs arrays alone.
"""
