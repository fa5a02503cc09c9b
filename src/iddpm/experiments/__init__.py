"""The paper's experiments, and the baselines that they compare with."""
