"""What a configuration may import and build, and who wrote it: checked before anything is imported or called."""
