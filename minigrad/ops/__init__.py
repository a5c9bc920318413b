"""The operations. One file a family; each op shows its formula, its forward and its backward, one under the other."""
