"""The arithmetic of dictionaries of which few features are on: no dense gradient is ever made.

Of a TopK dictionary's step only the encoder's product is dense. What follows it reads and writes
the k chosen rows: the choice itself, the decoder's sum of k rows, and the gradients, which are the
same sums taken over the transposed choice. Losses and gradients are those of sae-lens's classes.

    found = find(x, W_enc, b_enc, norms=None, selector=PerRow(32), dead=None)
    values, _ = EncoderGradient.apply(x, W_enc, b_enc, None, found, None)
    sums, _ = Decode.apply(values, None, W_dec, found.choice, Bags.rows(found.choice), None)
"""
