"""The second stage of recommendation: learn to rank what several retrievers propose."""
