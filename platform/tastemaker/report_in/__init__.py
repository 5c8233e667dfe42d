"""Report-in: what models that this platform does not serve say of themselves, over HTTP, SQL and files.

Rows are checked one by one (`rows`), belong to the source of their API key, database user or folder
(`ownership`), and are stored where our own models' are (`intake`). What is shown of them is the dashboard's.
"""
