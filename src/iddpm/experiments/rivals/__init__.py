"""The models that the paper's are compared with: autoregressive ones, a GAN, and samples from elsewhere."""
