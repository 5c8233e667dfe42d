"""Who people are: hidden at the door, forgotten on request, kept no longer than needed."""
