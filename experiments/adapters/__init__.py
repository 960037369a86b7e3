"""What weightings cost where an adapter alone trains."""
