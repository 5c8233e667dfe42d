"""Content-based recommendations: what is said of the items, and who liked which.

scikit-learn is imported only while the model is fitted: answering needs arrays alone.
"""
