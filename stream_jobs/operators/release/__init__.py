"""May a release go on? Bounds that hold at every look, gates on them, and ways back."""
