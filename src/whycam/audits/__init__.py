"""What is wrong with a data set, from its files, pixels and features; draws nothing and trains nothing that lasts."""
