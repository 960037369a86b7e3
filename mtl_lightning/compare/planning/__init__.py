"""What a comparison is going to run, and why: settings, contestants and configs, without torch."""
