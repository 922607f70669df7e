"""Files, images, numbers and signals: what every other wing uses."""
