"""Live traffic: the people of a simulated shop, who ask a running service over HTTP and answer its lists."""
