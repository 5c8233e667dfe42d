"""When assets are made again: data versions, conditions and the sensors that evaluate them."""
