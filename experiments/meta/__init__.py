"""Learning to learn: episodes of characters and of sine waves."""
