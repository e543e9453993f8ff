"""What is recorded while a train step is traced: symbolic tensors, variables, gradients."""
