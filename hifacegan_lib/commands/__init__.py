"""The commands of ``hifacegan``; each file has the name of its first command. ``cli`` registers them."""
