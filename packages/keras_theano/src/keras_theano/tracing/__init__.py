"""Records a train step while it is traced: symbolic tensors, variables and gradients."""
