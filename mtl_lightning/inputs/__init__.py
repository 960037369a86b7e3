"""From raw values to the arrays that an encoder reads. Nothing here needs torch or transformers."""
