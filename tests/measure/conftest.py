import torch

# The models of these tests are too small for more than one.
torch.set_num_threads(1)
