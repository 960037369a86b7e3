"""How many requests a server answers, and what it does under malformed ones, for minutes, and when it is stopped."""
