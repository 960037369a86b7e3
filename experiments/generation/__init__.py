"""What a model trained on ``configs/generation.yaml`` writes, and the official scores of RNNLG."""
