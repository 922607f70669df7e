"""The networks: suppression, replenishment, generator, discriminator, and their files."""
