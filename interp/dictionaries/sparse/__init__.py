"""The arithmetic of dictionaries of which few features are on: no dense gradient is ever made.

Of a TopK dictionary's step only the encoder's product is dense. What follows it reads and writes
the k chosen rows: the choice itself, the decoder's sum of k rows, and the gradients, which are the
same sums taken over the transposed choice. Losses and gradients are those of sae-lens's classes.

    acts, dead = encode(x, weights, choose_per_row(k), dead_features)
    (reconstruction,) = decode(acts, weights)
"""
