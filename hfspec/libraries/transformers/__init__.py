"""What is transformers' own: the files of its checkpoints, how they are planned and loaded, what they must not say."""
