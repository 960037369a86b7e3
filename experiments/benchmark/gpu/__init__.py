"""What training with the package costs on a GPU."""
