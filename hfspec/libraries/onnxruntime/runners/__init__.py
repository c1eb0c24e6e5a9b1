"""The runners of graphs: each is its task's own, with the graph in the place of torch's model."""
