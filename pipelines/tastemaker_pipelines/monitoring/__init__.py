"""Attribution, product metrics and drift: how the served recommendations do."""
