"""Collaborative filtering: what people with a similar past went on to want.

implicit is imported only while iALS and BPR are fitted: answering needs arrays alone.
"""
