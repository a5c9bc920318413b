"""GANs on points in one and two dimensions, where one can see what they learn: `python -m gans.toy`

The whole theory on one page. p is the density of the data, q that of the generator G.

1. A generator learns by making a divergence between p and q smaller: a number that is 0 only if p = q.
   Nobody knows p or q, but there are samples of both, and a network D that scores a point can be
   trained on them. The larger D's gain in telling the two apart, the further apart they are.

2. GAN: D is a probability, and ascends  V = E_p log D + E_q log(1 - D).  For each point alone, the best
   value is  D* = p / (p + q).  Put in, it gives  V(D*) = 2 JSD(p, q) - 2 log 2,  with the Jensen-Shannon
   divergence, from 0 (p = q, where D* = 1/2) to log 2. So G, which descends V, makes the JSD smaller.
   LSGAN measures Pearson's chi-squared divergence of p + q from 2 q in the same way. f-GAN shows that
   each convex f with its conjugate f* gives such a game:
   sup over T of  E_p T - E_q f*(T)  is the divergence  E_q f(p / q).

3. Such divergences compare p and q point by point. Where the two do not overlap, JSD is log 2 however
   far apart they are: a flat function. D* is 0 on all generated points then, and the gradient of
   log(1 - D) vanishes with it. Ascending log D instead gives G a gradient (its size grows with the
   distance), but no longer that of the JSD. This is what `--loss saturating` runs into, and `gan` not.

4. The Wasserstein distance W is the least work by which the mass of q is moved to p. It falls steadily as
   q comes closer, overlap or not. By Kantorovich and Rubinstein it is
   sup E_p f - E_q f  over all functions f with slopes of at most 1. So D becomes a critic f, a score
   without bounds, whose slope has to be bounded.

5. Clipping f's weights (WGAN) bounds the slope by an unknown constant K: the estimate is about K W, as far
   as so simple a function can get. The gradient penalty (WGAN-GP) asks for slopes of 1 at points
   between data and generated points, of density m. It allows some excess: with the cumulative
   distributions P and Q, the best slope in one dimension is 1 + |Q - P| / (2 lambda m), so the estimate is
   W  +  the integral of (Q - P)^2 / (2 lambda m).  The price is a second backward pass in each step.

6. None of this says that two networks that descend their losses in turn will arrive there. At p = q, a D that
   is still steep drives G off again; R1 and R2 (R3GAN) penalise D's slope at the data and at the generated
   points, which makes this equilibrium stable. A G that serves one mode well is pulled to
   others only if D's loss compares samples with each other, or D's slope is smooth: mode collapse.

`python -m gans.toy --theory` checks 2 to 5 with numbers: D is trained to its optimum on known densities.

data.py       the distributions
losses.py     what D and G descend, for each loss
trainer.py    the two networks and their step
modes.py      how much of the data the generator covers
theory.py     the checks
pictures.py   the drawings

Sources: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014; Mao et al., "Least squares GANs", ICCV 2017; Nowozin et
al., "f-GAN", NeurIPS 2016; Arjovsky and Bottou, "Towards principled methods for training GANs", ICLR 2017; Arjovsky et al.,
"Wasserstein GAN", ICML 2017; Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017; Mescheder et al., "Which
training methods for GANs do actually converge?", ICML 2018.
"""
