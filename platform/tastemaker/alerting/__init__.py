"""Alert rules: what is wrong, how it is measured, who is called and what that person does.

Rules are Python. Prometheus' and Alertmanager's files and the runbooks are generated from them. Nothing here
scrapes, delivers or keeps state, and the serving path does not import it.
"""
